// Two muxes and the messages that are on their way between them.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tunnel/mux.hpp"

namespace test {
using namespace riverbox;
using namespace riverbox::tunnel;

// What the user of one end of a stream has seen of it.
struct Seen {
  std::string bytes;
  std::vector<std::string> datagrams;
  int opened = 0, ended = 0, writable = 0, closed = 0;
  std::string why;
  std::size_t unconsumed = 0;
  std::string story() const {
    std::string text;
    if (opened) text += "opened ";
    if (!bytes.empty()) text += bytes + " ";
    if (ended) text += "end ";
    if (closed) text += "closed:" + why;
    return text;
  }
};

inline StreamEvents watch(const std::shared_ptr<Seen>& seen) {
  return {.opened = [seen] { ++seen->opened; },
          .data = [seen](std::string_view bytes) { seen->bytes += bytes, seen->datagrams.emplace_back(bytes), seen->unconsumed += bytes.size(); },
          .end = [seen] { ++seen->ended; },
          .writable = [seen] { ++seen->writable; },
          .closed = [seen](const std::string& why) { ++seen->closed, seen->why = why; }};
}

struct Pair {
  struct End {
    std::deque<std::string> out;
    std::size_t queued = 0;
    bool may_read = true;
    std::unique_ptr<Mux> mux;
    void deliver_to(End& other, std::size_t most = SIZE_MAX) {
      for (; most > 0 && !out.empty(); --most) {
        const std::string message = std::move(out.front());
        out.pop_front();
        queued -= message.size();
        other.mux->receive(message);
      }
    }
  };

  explicit Pair(Mux::Greeting asks_greeting = Mux::Greeting::first, Mux::Greeting serves_greeting = Mux::Greeting::first, Hello hello = {}, bool answer = true) {
    Mux::Requests serving;
    serving.connect = [this, answer](StreamId id, Proto, std::uint16_t port) {
      ports.push_back(port);
      served[id] = std::make_shared<Seen>();
      if (port == 1) serves.mux->refuse(id, "connection refused");
      else if (answer) serves.mux->opened(id);
      return watch(served[id]);
    };
    serving.listen = [this](StreamId id, Proto, std::uint16_t port) {
      listens.push_back(id);
      if (port == 1) serves.mux->refuse(id, "port is in use");
      else serves.mux->listening(id, port == 0 ? 4711 : port);
    };
    serving.unlisten = [this](StreamId id) { std::erase(listens, id); };
    make(asks, {Mux::Side::asks, asks_greeting, hello}, {});
    make(serves, {Mux::Side::serves, serves_greeting, hello}, std::move(serving));
  }

  void make(End& end, Mux::Options options, Mux::Requests requests) {
    end.out.clear();
    end.queued = 0;
    requests.may_read = [&end](bool may) { end.may_read = may; };
    requests.farewell = [this](const std::string& why) { farewell = why; };
    end.mux = std::make_unique<Mux>(options, Mux::Link{[&end](const Message& message) {
                                                         end.out.push_back(encode(message));
                                                         end.queued += end.out.back().size();
                                                       },
                                                       [&end] { return end.queued; }},
                                    std::move(requests));
    end.mux->start();
  }

  // Until nothing is on its way any more.
  void settle() {
    while (!asks.out.empty() || !serves.out.empty()) {
      asks.deliver_to(serves);
      asks.mux->drained();
      serves.deliver_to(asks);
      serves.mux->drained();
    }
  }

  StreamId open(const std::shared_ptr<Seen>& seen, std::uint16_t port = 80, Proto proto = Proto::tcp) { return asks.mux->open(proto, port, watch(seen)); }

  End asks, serves;
  std::map<StreamId, std::shared_ptr<Seen>> served;
  std::vector<std::uint16_t> ports;
  std::vector<StreamId> listens;
  std::string farewell;
};

}  // namespace test
