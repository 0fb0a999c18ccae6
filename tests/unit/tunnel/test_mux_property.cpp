#include <doctest/doctest.h>

#include <random>

#include "mux_fixture.hpp"

using namespace test;

namespace {

// One direction of a stream: what was sent, what has come.
struct Flow {
  std::string sent, got;
  std::size_t to_send = 0, unconsumed = 0;
  bool sent_end = false, got_end = false, may_write = false, stopped = false;
};
struct Stream {
  Flow down, up;  // from who asks to who serves, and back
  bool over = false;
};

// Random streams, sizes, ends, deliveries and readers that stop. Both muxes are told things in any order that a link allows.
class World {
public:
  World(unsigned seed, std::uint32_t window, bool classic) : random_(seed), classic_(classic) {
    const auto greeting = classic ? Mux::Greeting::never : Mux::Greeting::first;
    Hello hello;
    hello.window = window;
    window_ = window;
    Mux::Requests serving;
    serving.connect = [this](StreamId id, Proto, std::uint16_t) {
      pending_.push_back(id);
      return events(id, streams_[id].down, streams_[id].up);
    };
    pair_.make(pair_.asks, {Mux::Side::asks, greeting, hello}, {});
    pair_.make(pair_.serves, {Mux::Side::serves, greeting, hello}, std::move(serving));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step();
    // Everybody reads again: all must arrive.
    for (auto& [id, stream] : streams_) stream.down.stopped = stream.up.stopped = false;
    for (int i = 0; i < 200000 && !quiet(); ++i) finish();
    CHECK(quiet());
    for (const auto& [id, stream] : streams_) {
      CHECK(stream.down.got == stream.down.sent);
      CHECK(stream.up.got == stream.up.sent);
    }
    if (!classic_) CHECK(pair_.asks.mux->streams() + pair_.serves.mux->streams() == 0);
  }

private:
  std::size_t pick(std::size_t below) { return random_() % below; }

  StreamEvents events(StreamId id, Flow& in, Flow& out) {
    return {.opened = [&out] { out.may_write = true; },
            .data = [this, &in](std::string_view bytes) {
              CHECK(!in.got_end);
              in.got += bytes;
              in.unconsumed += bytes.size();
              if (!classic_) CHECK(in.unconsumed <= window_);
            },
            .end = [&in] { in.got_end = true; },
            .writable = [&out] { out.may_write = true; },
            .closed = [id](const std::string& why) { FAIL("stream " << id << " closed: " << why); }};
  }

  void write(Mux& mux, StreamId id, Flow& flow) {
    while (flow.to_send > 0 && flow.may_write) {
      const std::size_t room = mux.room(id);
      if (room == 0) {
        flow.may_write = false;
        return;
      }
      std::string bytes(std::min({room, flow.to_send, 1 + pick(70000)}), '\0');
      for (char& c : bytes) c = static_cast<char>(random_());
      mux.send(id, bytes);
      flow.sent += bytes;
      flow.to_send -= bytes.size();
      if (pick(3) == 0) return;
    }
  }

  void end(Mux& mux, StreamId id, Flow& flow) {
    if (flow.to_send == 0 && flow.may_write && !std::exchange(flow.sent_end, true)) mux.end(id);
  }

  void read(Mux& mux, StreamId id, Flow& flow) {
    if (flow.stopped || flow.unconsumed == 0) return;
    const std::size_t size = 1 + pick(flow.unconsumed);
    flow.unconsumed -= size;
    mux.consumed(id, size);
  }

  void step() {
    const std::size_t what = pick(10);
    if (what == 0 && streams_.size() < 40) {
      const StreamId next = static_cast<StreamId>(streams_.size()) + 1;
      Stream& stream = streams_[next];
      stream.down.to_send = pick(4) == 0 ? pick(900000) : pick(3000);
      stream.up.to_send = pick(4) == 0 ? pick(900000) : pick(3000);
      if (!classic_) stream.down.stopped = pick(5) == 0, stream.up.stopped = pick(5) == 0;
      CHECK(pair_.asks.mux->open(Proto::tcp, 80, events(next, stream.up, stream.down)) == next);
    } else if (what == 1 && !pending_.empty()) {
      const StreamId id = pending_.back();
      pending_.pop_back();
      pair_.serves.mux->opened(id);
      streams_[id].up.may_write = true;
    } else if (what <= 4) {
      deliver(pair_.asks, pair_.serves);
    } else if (what <= 7) {
      deliver(pair_.serves, pair_.asks);
    }
    if (streams_.empty()) return;
    auto at = streams_.begin();
    std::advance(at, pick(streams_.size()));
    tend(at->first, at->second);
  }

  void tend(StreamId id, Stream& stream) {
    write(*pair_.asks.mux, id, stream.down);
    write(*pair_.serves.mux, id, stream.up);
    read(*pair_.serves.mux, id, stream.down);
    read(*pair_.asks.mux, id, stream.up);
    if (classic_ || pick(4) != 0) return;
    end(*pair_.asks.mux, id, stream.down);
    end(*pair_.serves.mux, id, stream.up);
  }

  void deliver(Pair::End& from, Pair::End& to) {
    if (!to.may_read) return;
    from.deliver_to(to, 1 + pick(5));
    if (from.queued < Mux::kQueueBytes / 4) from.mux->drained();
  }

  void finish() {
    while (!pending_.empty()) {
      pair_.serves.mux->opened(pending_.back());
      streams_[pending_.back()].up.may_write = true;
      pending_.pop_back();
    }
    deliver(pair_.asks, pair_.serves);
    deliver(pair_.serves, pair_.asks);
    for (auto& [id, stream] : streams_) tend(id, stream);
  }

  bool quiet() const {
    if (!pair_.asks.out.empty() || !pair_.serves.out.empty()) return false;
    for (const auto& [id, stream] : streams_)
      for (const Flow* flow : {&stream.down, &stream.up})
        if (flow->to_send > 0 || flow->unconsumed > 0 || (!classic_ && !flow->got_end)) return false;
    return true;
  }

  std::minstd_rand random_;
  const bool classic_;
  std::uint32_t window_ = 0;
  std::map<StreamId, Stream> streams_;
  std::vector<StreamId> pending_;
  Pair pair_;
};

}  // namespace

TEST_CASE("random streams: no byte is mixed, lost or sent beyond the window") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    World(seed, seed % 3 == 0 ? 1000 : seed % 3 == 1 ? 65536 : 256 << 10, false).run(1500);
  }
}

TEST_CASE("random streams in the classic dialect: no byte is mixed or lost") {
  for (unsigned seed = 1; seed <= 15; ++seed) {
    CAPTURE(seed);
    World(seed, 256 << 10, true).run(1500);
  }
}
