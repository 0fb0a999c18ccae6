#include "runner/forwards.hpp"

#include <map>

#include <boost/asio/post.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "runner/bridge.hpp"

namespace riverbox::runner {

namespace {

constexpr auto kTunnelPatience = std::chrono::seconds(10);

// One user's session: a tunnel that serves him, and whose streams go on into the container. Loop thread.
class ForwardSession : public std::enable_shared_from_this<ForwardSession> {
public:
  ForwardSession(Doors& doors, std::shared_ptr<Forwards> forwards, AttemptId attempt, std::string container)
      : doors_(doors), forwards_(std::move(forwards)), attempt_(attempt), container_(std::move(container)) {}

  void start(std::shared_ptr<net::WebSocket> socket) {
    tunnel_ = std::make_shared<tunnel::Tunnel>(tunnel::make_link(std::move(socket)));
    tunnel::Mux::Requests requests;
    requests.connect = [self = shared_from_this()](tunnel::StreamId id, tunnel::Proto proto, std::uint16_t port) { return self->connect(id, proto, port); };
    requests.listen = [self = shared_from_this()](tunnel::StreamId listener, tunnel::Proto, std::uint16_t port) { self->listen(listener, port); };
    requests.unlisten = [self = shared_from_this()](tunnel::StreamId listener) { self->listeners_.erase(listener); };
    tunnel_->start({.side = tunnel::Mux::Side::serves, .greeting = tunnel::Mux::Greeting::answer}, std::move(requests), [self = shared_from_this()](const std::string&) { self->lost(); });
  }

private:
  tunnel::Mux& mux() { return tunnel_->mux(); }

  void lost() {
    listeners_.clear();
    boost::asio::post(doors_.loop(), [tunnel = std::exchange(tunnel_, nullptr), forwards = std::move(forwards_)] {});  // it is still telling
  }

  tunnel::StreamEvents connect(tunnel::StreamId id, tunnel::Proto proto, std::uint16_t port) {
    const auto bridge = std::make_shared<Bridge>(proto);
    auto go = [self = shared_from_this(), bridge, id, proto, port](const std::string& why) {
      if (!self->tunnel_) return;
      if (!why.empty()) return self->refuse(*bridge, id, why);
      self->open(bridge, id, proto, port);
    };
    if (doors_.gate().connected(container_)) boost::asio::post(doors_.loop(), [go] { go(""); });
    else forwards_->need_tunnel(attempt_, container_, go);
    bridge->attach(Bridge::user, tunnel::GateStream(tunnel_, id));
    return bridge->events(Bridge::user);
  }

  void open(const std::shared_ptr<Bridge>& bridge, tunnel::StreamId id, tunnel::Proto proto, std::uint16_t port) {
    auto events = bridge->events(Bridge::container);
    const auto opened = std::make_shared<bool>(false);
    events.opened = [self = shared_from_this(), opened, id, then = std::move(events.opened)] {
      *opened = true;
      if (self->tunnel_) self->mux().opened(id);
      then();
    };
    events.closed = [self = shared_from_this(), bridge, opened, id, closed = std::move(events.closed)](const std::string& why) {
      if (!*opened && self->tunnel_) self->refuse(*bridge, id, why);
      closed(why);
    };
    try {
      bridge->attach(Bridge::container, doors_.gate().open(container_, proto, port, std::move(events)));
    } catch (const Error& error) {
      refuse(*bridge, id, error.what());
    }
  }

  void refuse(Bridge& bridge, tunnel::StreamId id, const std::string& why) {
    mux().refuse(id, why);
    bridge.close(Bridge::user, why);
  }

  void listen(tunnel::StreamId listener, std::uint16_t port) {
    listeners_[listener] = {};  // wanted; it may not be any more when there is a tunnel
    forwards_->need_tunnel(attempt_, container_, [self = shared_from_this(), listener, port](const std::string& why) {
      if (!self->tunnel_ || !self->listeners_.contains(listener)) return;
      if (!why.empty()) return self->refuse_listener(listener, why);
      self->begin_to_listen(listener, port);
    });
  }

  void begin_to_listen(tunnel::StreamId listener, std::uint16_t port) {
    try {
      listeners_[listener] = doors_.gate().listen(
          container_, port,
          {.listening = [self = shared_from_this(), listener](std::uint16_t bound) { if (self->tunnel_) self->mux().listening(listener, bound); },
           .closed = [self = shared_from_this(), listener](const std::string& why) { if (self->tunnel_) self->refuse_listener(listener, why); },
           .accept = [self = shared_from_this(), listener, port](tunnel::Gate::Caller caller) { return self->accept(listener, port, std::move(caller)); }});
    } catch (const Error& error) {
      refuse_listener(listener, error.what());
    }
  }

  void refuse_listener(tunnel::StreamId listener, const std::string& why) {
    listeners_.erase(listener);
    mux().refuse(listener, why);
  }

  // Somebody in the container has connected to a port that the user listens on.
  tunnel::StreamEvents accept(tunnel::StreamId listener, std::uint16_t port, tunnel::Gate::Caller caller) {
    const auto bridge = std::make_shared<Bridge>(tunnel::Proto::tcp);
    const auto waiting = std::make_shared<std::optional<tunnel::Gate::Caller>>(std::move(caller));
    auto events = bridge->events(Bridge::user);
    events.opened = [bridge, waiting, then = std::move(events.opened)] {
      if (auto who = std::exchange(*waiting, std::nullopt)) bridge->attach(Bridge::container, who->take());
      then();
    };
    events.closed = [bridge, waiting, closed = std::move(events.closed)](const std::string& why) {
      if (auto who = std::exchange(*waiting, std::nullopt)) who->refuse(why);
      closed(why);
    };
    const auto id = tunnel_ ? mux().accept(listener, port, std::move(events)) : 0;
    if (id != 0) bridge->attach(Bridge::user, tunnel::GateStream(tunnel_, id));
    else if (auto who = std::exchange(*waiting, std::nullopt)) who->refuse("nobody takes it");
    return bridge->events(Bridge::container);
  }

  Doors& doors_;
  std::shared_ptr<Forwards> forwards_;
  const AttemptId attempt_;
  const std::string container_;
  std::shared_ptr<tunnel::Tunnel> tunnel_;  // to the user; null: it is over
  std::map<tunnel::StreamId, tunnel::GateListener> listeners_;  // of the user, by his ids
};

}  // namespace

void Forwards::open(OpenForward wanted) {
  if (stopped_) return;
  auto request = stream_request(target_, wanted.stream);
  net::connect_websocket(loop_, std::move(request), [weak = weak_from_this(), wanted = std::move(wanted)](net::WebSocketResult result) {
    const log::Scope scope("task", wanted.attempt.str());
    if (!result.socket) return log::warning("runner", "cannot open a way to ports of a task", {{"reason", result.error}});
    if (const auto self = weak.lock(); self && !self->stopped_) return self->serve(std::move(result.socket), wanted);
    result.socket->close(1001, "the runner stops");
  });
}

void Forwards::serve(std::shared_ptr<net::WebSocket> socket, const OpenForward& wanted) {
  std::erase_if(sockets_, [](const auto& old) { return old.expired(); });
  sockets_.push_back(socket);
  try {
    std::make_shared<ForwardSession>(doors_, shared_from_this(), wanted.attempt, executor_.container_of(wanted.attempt))->start(std::move(socket));
  } catch (const Error& error) {
    socket->start({.message = [](std::string_view, bool) {}, .closed = [](std::uint16_t, std::string_view) {}, .drained = [] {}});
    socket->close(1008, error.fact());
  }
}

void Forwards::need_tunnel(const AttemptId& attempt, const std::string& container, std::function<void(const std::string& why)> ready) {
  if (doors_.gate().connected(container)) return ready("");
  const bool first = !doors_.is_awaited(container);
  doors_.await_tunnel(container, kTunnelPatience, [ready](bool connected) { ready(connected ? "" : "nothing in the container answers; it may be busy, or be older than this riverbox: start it again"); });
  if (first) workers_.post([&executor = executor_, attempt] {
    try {
      executor.start_tunnel(attempt);
    } catch (const Error& error) {
      log::warning("runner", "cannot start a tunnel in a task", {{"task", attempt.str()}, {"reason", error.what()}});
    }
  });
}

void Forwards::stop() {
  stopped_ = true;
  for (const auto& weak : sockets_)
    if (const auto socket = weak.lock()) socket->close(1001, "the runner stops");
}

}  // namespace riverbox::runner
