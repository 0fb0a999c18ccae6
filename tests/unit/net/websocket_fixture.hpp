// The two ends of a WebSocket with everything that happens to them written down.
#pragma once
#include <mutex>
#include <vector>

#include "fixture.hpp"

namespace test {

// One end. Its callbacks run on a loop thread, its getters anywhere.
class End : public std::enable_shared_from_this<End> {
public:
  std::function<void(std::string_view, bool)> on_message;  // in place of writing it down
  std::function<void()> on_drained;

  void start(std::shared_ptr<net::WebSocket> web_socket) {
    socket = std::move(web_socket);
    net::WebSocket::Events events;
    events.message = [self = shared_from_this()](std::string_view data, bool binary) {
      if (self->on_message) return self->on_message(data, binary);
      std::lock_guard lock(self->mutex_);
      self->messages_.emplace_back((binary ? "b:" : "t:") + std::string(data));
    };
    events.closed = [self = shared_from_this()](std::uint16_t code, std::string_view reason) {
      std::lock_guard lock(self->mutex_);
      ++self->closed_count_;
      self->code_ = code;
      self->reason_ = reason;
    };
    events.drained = [self = shared_from_this()] {
      if (self->on_drained) self->on_drained();
    };
    socket->start(std::move(events));
  }
  std::vector<std::string> messages() const {
    std::lock_guard lock(mutex_);
    return messages_;
  }
  int closed_count() const {
    std::lock_guard lock(mutex_);
    return closed_count_;
  }
  bool wait_closed(std::chrono::milliseconds patience = 20s) const {
    return eventually([&] { return closed_count() > 0; }, patience);
  }
  std::uint16_t code() const {
    std::lock_guard lock(mutex_);
    return code_;
  }
  std::string reason() const {
    std::lock_guard lock(mutex_);
    return reason_;
  }
  std::shared_ptr<net::WebSocket> socket;

private:
  mutable std::mutex mutex_;
  std::vector<std::string> messages_;
  int closed_count_ = 0;
  std::uint16_t code_ = 0;
  std::string reason_;
};

// A server whose WebSockets are all handled by `end`, which echoes unless told otherwise.
struct WebSocketServer {
  explicit WebSocketServer(net::ServerOptions options = local_options(), bool echoes = true)
      : end(std::make_shared<End>()), server({echo,
                                              [this, echoes](const net::Request& request) -> std::variant<net::Response, net::Accept> {
                                                if (request.path == "/no") return net::error_response(403, "not for you");
                                                net::Accept accept;
                                                const std::string* offered = request.header("sec-websocket-protocol");
                                                if (offered && offered->find("two") != std::string::npos) accept.subprotocol = "two";
                                                if (request.path == "/unasked") accept.subprotocol = "unasked";
                                                accept.opened = [this, echoes](std::shared_ptr<net::WebSocket> socket) {
                                                  if (over) return;
                                                  if (echoes)
                                                    end->on_message = [weak = std::weak_ptr(socket)](std::string_view data, bool binary) {
                                                      if (auto alive = weak.lock()) alive->send(std::string(data), binary);
                                                    };
                                                  end->start(std::move(socket));
                                                };
                                                return accept;
                                              }},
                                             options) {}
  ~WebSocketServer() {
    server.loop.run([this] {
      over = true;  // a client that refuses us may be done before we have opened
      end->socket.reset();
      end->on_message = nullptr;
    });
  }
  std::shared_ptr<End> end;
  bool over = false;  // loop thread
  TestServer server;
};

inline net::WebSocketResult connect_to(Loop& loop, net::WebSocketRequest request) {
  std::promise<net::WebSocketResult> promise;
  net::connect_websocket(loop.context, std::move(request), [&](net::WebSocketResult result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

// Connected and reading.
inline std::shared_ptr<End> open_end(Loop& loop, net::WebSocketRequest request) {
  auto result = connect_to(loop, std::move(request));
  if (!result.socket) throw std::runtime_error(result.error);
  auto end = std::make_shared<End>();
  loop.run([&] { end->start(std::move(result.socket)); });
  return end;
}

}  // namespace test
