// How a WebSocket begins: the server answers 101, the client resolves, connects and asks for it.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/url.hpp"
#include "net/websocket_accept.hpp"
#include "net/websocket_stream.hpp"

namespace riverbox::net {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ws = beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr int kAcceptTimeoutMs = 10000;

std::chrono::milliseconds milliseconds_of(int count) { return std::chrono::milliseconds(count); }

// The server's half of the handshake.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
public:
  Acceptor(Stream stream, AcceptOptions options, std::function<void(std::shared_ptr<WebSocket>)> opened)
      : stream_(std::move(stream)), timer_(stream_.get_executor()), options_(std::move(options)), opened_(std::move(opened)) {}

  void run(const Request& request) {
    request_.method(http::verb::get);
    request_.target(request.path);
    request_.version(11);
    for (const auto& [name, value] : request.headers) request_.set(name, value);
    prepare(stream_);
    stream_.set_option(ws::stream_base::decorator([this](ws::response_type& response) {
      response.set(http::field::server, "riverbox");
      if (!options_.subprotocol.empty()) response.set(http::field::sec_websocket_protocol, options_.subprotocol);
      for (const auto& [name, value] : options_.headers) response.set(name, value);
    }));
    timer_.expires_after(milliseconds_of(kAcceptTimeoutMs));
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec && self->opened_) self->stream_.next_layer().close();
    });
    stream_.async_accept(request_, [self = shared_from_this()](error_code ec) {
      self->timer_.cancel();
      if (!ec && self->stream_.next_layer().is_open()) self->hand_over();
    });
  }

private:
  void hand_over() {
    stream_.set_option(ws::stream_base::decorator([](ws::response_type&) {}));
    AcceptOptions& o = options_;
    auto opened = std::exchange(opened_, nullptr);
    auto connection = make_websocket(std::move(stream_), std::move(o.subprotocol), o.max_message_bytes, o.timing, std::move(o.slot));
    try {
      opened(connection);
    } catch (const std::exception& error) {
      log::error("net", "a WebSocket handler failed", {{"error", error.what()}});
      connection->close(1011, "internal error");
    }
  }

  WsStream stream_;
  asio::steady_timer timer_;
  AcceptOptions options_;
  std::function<void(std::shared_ptr<WebSocket>)> opened_;
  http::request<http::empty_body> request_;
};

// Name, connection, handshake, under one time limit.
class Connector : public std::enable_shared_from_this<Connector> {
public:
  Connector(asio::io_context& loop, WebSocketRequest request, std::function<void(WebSocketResult)> done)
      : loop_(loop), resolver_(loop), timer_(loop), stream_(Stream(loop)), socket_(loop), request_(std::move(request)), done_(std::move(done)) {}

  void run() {
    try {
      url_ = HttpUrl::parse(request_.url);
    } catch (const std::exception& error) {
      return fail(error.what());
    }
    timer_.expires_after(milliseconds_of(request_.timeout_ms));
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec) self->fail(fmt::format("cannot reach {}: no answer within {} ms", self->url_.str(), self->request_.timeout_ms));
    });
    if (!url_.unix_socket.empty()) return connect_locally();
    error_code ec;
    const auto address = asio::ip::make_address(url_.host, ec);
    if (!ec) return connect(tcp::resolver::results_type::create(tcp::endpoint(address, url_.port), url_.host, std::to_string(url_.port)));
    // Only numeric services: a static program has no /etc/services look-up to rely on.
    resolver_.async_resolve(url_.host, std::to_string(url_.port), tcp::resolver::numeric_service,
                            [self = shared_from_this()](error_code failed, tcp::resolver::results_type found) {
                              if (failed) return self->fail_with(failed);
                              self->connect(found);
                            });
  }

private:
  void connect(const tcp::resolver::results_type& endpoints) {
    if (!done_) return;
    asio::async_connect(socket_, endpoints, [self = shared_from_this()](error_code ec, const tcp::endpoint&) {
      if (ec) return self->fail_with(ec);
      if (!self->done_) return;
      self->socket_.set_option(tcp::no_delay(true), ec);
      self->connected(std::move(self->socket_));
    });
  }

  void connect_locally() {
    asio::local::stream_protocol::socket socket(loop_);
    error_code ec;
    socket.connect({url_.unix_socket}, ec);  // on this machine, so at once
    if (ec) return fail_with(ec);
    connected(std::move(socket));
  }

  void connected(Stream::Socket socket) {
    stream_.next_layer() = Stream(std::move(socket));
    if (!url_.secure()) return handshake();
    stream_.next_layer().handshake(TlsContext::client(url_.pin), url_.host, [self = shared_from_this()](error_code failed) {
      const std::string distrust = self->stream_.next_layer().distrust();
      if (failed && !distrust.empty()) return self->fail(fmt::format("cannot trust {}: {}. {}", self->url_.str(), distrust, advice_about(distrust, self->url_.pin.has_value())));
      if (failed) return self->fail_with(failed);
      self->handshake();
    });
  }

  void handshake() {
    if (!done_) return;
    prepare(stream_);
    stream_.set_option(ws::stream_base::decorator([this](ws::request_type& request) {
      if (!request_.subprotocols.empty()) request.set(http::field::sec_websocket_protocol, join(request_.subprotocols, ", "));
      for (const auto& [name, value] : request_.headers) request.set(name, value);
    }));
    stream_.async_handshake(answer_, url_.authority(), url_.target, [self = shared_from_this()](error_code failed) {
      if (failed == ws::error::upgrade_declined) return self->refused();
      if (failed) return self->fail_with(failed);
      self->opened();
    });
  }

  void opened() {
    if (!done_) return;
    const auto chosen = answer_[http::field::sec_websocket_protocol];
    std::string subprotocol(chosen.data(), chosen.size());
    const auto& offered = request_.subprotocols;
    if (!subprotocol.empty() && std::find(offered.begin(), offered.end(), subprotocol) == offered.end())
      return fail(fmt::format("{} chose the subprotocol \"{}\", which was not offered", url_.str(), printable(subprotocol)));
    stream_.set_option(ws::stream_base::decorator([](ws::request_type&) {}));
    WebSocketResult result;
    result.http_status = 101;
    result.socket = make_websocket(std::move(stream_), std::move(subprotocol), request_.max_message_bytes, request_.timing, nullptr);
    finish(std::move(result));
  }

  void refused() {
    WebSocketResult result;
    result.http_status = static_cast<int>(answer_.result_int());
    result.error = error_detail(answer_.body());
    if (result.error.empty()) result.error = fmt::format("{} answered {} {}", url_.str(), result.http_status, reason_phrase(result.http_status));
    finish(std::move(result));
  }

  void fail_with(error_code ec) { fail(fmt::format("cannot reach {}: {}", url_.str(), ec.message())); }

  void fail(std::string error) {
    WebSocketResult result;
    result.error = std::move(error);
    finish(std::move(result));
  }

  void finish(WebSocketResult result) {
    if (!done_) return;
    auto done = std::exchange(done_, nullptr);
    timer_.cancel();
    resolver_.cancel();
    if (!result.socket) {
      error_code ec;
      socket_.close(ec);
      stream_.next_layer().close();
    }
    done(std::move(result));
  }

  asio::io_context& loop_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  WsStream stream_;
  tcp::socket socket_;  // until it is connected
  WebSocketRequest request_;
  std::function<void(WebSocketResult)> done_;  // empty once called
  HttpUrl url_;
  ws::response_type answer_;
};

}  // namespace

void accept_websocket(Stream stream, const Request& request, AcceptOptions options,
                      std::function<void(std::shared_ptr<WebSocket>)> opened) {
  std::make_shared<Acceptor>(std::move(stream), std::move(options), std::move(opened))->run(request);
}

void connect_websocket(asio::io_context& loop, WebSocketRequest request, std::function<void(WebSocketResult)> done) {
  auto connector = std::make_shared<Connector>(loop, std::move(request), std::move(done));
  asio::post(loop, [connector] { connector->run(); });
}

}  // namespace riverbox::net
