#include "net/server.hpp"

#include <unistd.h>

#include <deque>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "net/http_connection.hpp"
#include "net/listener.hpp"

namespace riverbox::net {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {
// Beyond max_connections this many clients are told so; the rest is just cut, or refusing would itself use up the sockets.
constexpr unsigned kMaxRefusals = 64;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  // A socket that listens, and what it does when it cannot accept.
  struct Door {
    Listener listener;
    asio::steady_timer pause;
    bool tls;
    bool failed = false;
  };

  Impl(asio::io_context& loop, ServerOptions options, Handlers handlers)
      : context(std::make_shared<HttpContext>(HttpContext{loop, std::move(options), std::move(handlers), std::make_shared<Gate>(loop), std::make_shared<Occupancy>(), {}, {}})) {
    const auto& o = context->options;
    doors.push_back({open_listener(loop, o.bind_address, o.port, o.inherited_socket), asio::steady_timer(loop), o.tls != nullptr});
    port = port_of(doors[0].listener);
    if (!o.unix_socket.empty()) open_unix_door();
  }

  void open_unix_door() {
    try {
      doors.push_back({open_unix_listener(context->loop, context->options.unix_socket), asio::steady_timer(context->loop), false});
    } catch (const Error& error) {
      log::warning("net", "no unix socket; local commands use the port and the token", {{"reason", error.what()}});
    }
  }

  void start() {
    context->closed = [weak = weak_from_this()](HttpConnection& connection) {
      if (auto self = weak.lock()) self->connections.erase(&connection);
    };
    context->upgraded = [weak = weak_from_this()](std::shared_ptr<WebSocket> socket) {
      if (auto self = weak.lock()) self->remember(std::move(socket));
    };
    for (Door& door : doors) accept(door);
  }

  void accept(Door& door) {
    door.listener.async_accept([self = shared_from_this(), &door](error_code ec, Stream::Socket socket) {
      if (self->stopped) return;
      if (ec) return self->accept_later(door, ec);
      door.failed = false;
      self->serve(std::move(socket), door.tls);
      self->accept(door);
    });
  }

  // Out of file descriptors or memory: trying again at once would only burn the processor.
  void accept_later(Door& door, error_code ec) {
    if (ec == asio::error::connection_aborted) return accept(door);
    if (!std::exchange(door.failed, true)) log::error("net", "cannot accept connections", {{"error", ec.message()}});
    door.pause.expires_after(kAcceptPause);
    door.pause.async_wait([self = shared_from_this(), &door](error_code cancelled) {
      if (!cancelled && !self->stopped) self->accept(door);
    });
  }

  void serve(Stream::Socket socket, bool tls) {
    const auto& options = context->options;
    const unsigned open = context->occupancy->total();
    if (open >= options.max_connections + kMaxRefusals) return;
    Peer peer = peer_of(socket.native_handle());
    const unsigned of_peer = peer.machine.empty() ? 0 : context->occupancy->of(peer.machine);
    if (of_peer >= options.max_connections_per_peer + kMaxRefusals) return;
    auto connection = std::make_shared<HttpConnection>(std::move(socket), std::move(peer), context);
    connections.emplace(connection.get(), connection);
    if (open >= options.max_connections)
      connection->start_refusing("this server has too many open connections; try again later");
    else if (of_peer >= options.max_connections_per_peer)
      connection->start_refusing("there are too many open connections from your address; close some, or try again later");
    else if (tls)
      connection->start_tls();
    else
      connection->start();
  }

  void remember(std::shared_ptr<WebSocket> socket) {
    if (stopped) return socket->close(1001, "the server is stopping");
    if (web_sockets.size() >= prune_at) {
      std::erase_if(web_sockets, [](const auto& known) { return known.expired(); });
      prune_at = 2 * web_sockets.size() + 16;
    }
    web_sockets.push_back(std::move(socket));
  }

  void stop() {
    if (std::exchange(stopped, true)) return;
    for (Door& door : doors) {
      error_code ec;
      door.listener.close(ec);
      door.pause.cancel();
    }
    if (doors.size() > 1) ::unlink(context->options.unix_socket.c_str());
    auto open = std::move(connections);
    connections.clear();
    for (auto& [key, connection] : open) connection->close();
    for (auto& weak : web_sockets)
      if (auto socket = weak.lock()) socket->close(1001, "the server is stopping");
    web_sockets.clear();
  }

  std::shared_ptr<HttpContext> context;
  std::deque<Door> doors;  // the port first; they stay where they are
  std::uint16_t port = 0;
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections;
  std::vector<std::weak_ptr<WebSocket>> web_sockets;  // so that stop() can say goodbye; their owners keep them
  size_t prune_at = 16;
  bool stopped = false;
};

Server::Server(asio::io_context& loop, ServerOptions options, Handlers handlers)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(handlers))) {
  impl_->start();
}

Server::~Server() {
  impl_->stop();
  impl_->context->gate->close();
}

std::uint16_t Server::port() const { return impl_->port; }

void Server::set_tls(std::shared_ptr<TlsContext> tls) { impl_->context->options.tls = std::move(tls); }

void Server::stop() { impl_->stop(); }

}  // namespace riverbox::net
