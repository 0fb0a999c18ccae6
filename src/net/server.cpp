#include "net/server.hpp"

#include <fmt/format.h>

#include <unordered_map>
#include <vector>

#include "base/log.hpp"
#include "net/http_connection.hpp"
#include "net/listener.hpp"

namespace riverbox::net {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {
// Beyond max_connections this many clients are told so; the rest is just cut, or refusing would itself use up the sockets.
constexpr unsigned kMaxRefusals = 64;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(asio::io_context& loop, ServerOptions options, Handlers handlers)
      : acceptor(open_listener(loop, options.bind_address, options.port)), port(acceptor.local_endpoint().port()), pause(loop),
        context(std::make_shared<HttpContext>(HttpContext{loop, std::move(options), std::move(handlers), std::make_shared<Gate>(loop),
                                                          std::make_shared<std::atomic<unsigned>>(0), {}, {}})) {}

  void start() {
    context->closed = [weak = weak_from_this()](HttpConnection& connection) {
      if (auto self = weak.lock()) self->connections.erase(&connection);
    };
    context->upgraded = [weak = weak_from_this()](std::shared_ptr<WebSocket> socket) {
      if (auto self = weak.lock()) self->remember(std::move(socket));
    };
    accept();
  }

  void accept() {
    acceptor.async_accept([self = shared_from_this()](error_code ec, tcp::socket socket) {
      if (self->stopped) return;
      if (ec) return self->accept_later(ec);
      self->serve(std::move(socket));
      self->accept();
    });
  }

  // Out of file descriptors or memory: trying again at once would only burn the processor.
  void accept_later(error_code ec) {
    if (ec == asio::error::connection_aborted) return accept();
    if (!std::exchange(accept_failed, true)) log::error("net", "cannot accept connections", {{"error", ec.message()}});
    pause.expires_after(kAcceptPause);
    pause.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && !self->stopped) self->accept();
    });
  }

  void serve(tcp::socket socket) {
    accept_failed = false;
    const unsigned open = *context->open_connections;
    if (open >= context->options.max_connections + kMaxRefusals) return;
    auto connection = std::make_shared<HttpConnection>(std::move(socket), context);
    connections.emplace(connection.get(), connection);
    if (open >= context->options.max_connections)
      connection->start_refusing();
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
    error_code ec;
    acceptor.close(ec);
    pause.cancel();
    auto open = std::move(connections);
    connections.clear();
    for (auto& [key, connection] : open) connection->close();
    for (auto& weak : web_sockets)
      if (auto socket = weak.lock()) socket->close(1001, "the server is stopping");
    web_sockets.clear();
  }

  tcp::acceptor acceptor;
  const std::uint16_t port;
  asio::steady_timer pause;
  std::shared_ptr<HttpContext> context;
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections;
  std::vector<std::weak_ptr<WebSocket>> web_sockets;  // so that stop() can say goodbye; their owners keep them
  size_t prune_at = 16;
  bool stopped = false, accept_failed = false;
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

void Server::stop() { impl_->stop(); }

}  // namespace riverbox::net
