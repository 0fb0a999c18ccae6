#include "net/http_connection.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/http_parser.hpp"
#include "net/websocket_accept.hpp"

namespace riverbox::net {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kReadBytes = 4 << 10, kBodyReadBytes = 64 << 10;
constexpr size_t kKeptBufferBytes = 16 << 10;  // of an idle connection
constexpr size_t kMaxUnparsedBytes = 128 << 10;  // more than the head may have; the parser does not bound chunk headers
constexpr int kLingerMs = 5000;
constexpr char kTlsHandshake = 0x16;  // the type of the first record (RFC 8446 5.1)

// A stream may be silent for hours (`logs --follow`): the kernel finds out when the machine at the other end has vanished.
void enable_keepalive(int fd) {
  const int on = 1, idle = 60, interval = 15, count = 4;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

}  // namespace

HttpConnection::HttpConnection(Stream::Socket socket, Peer peer, std::shared_ptr<HttpContext> context)
    : stream_(std::move(socket)), peer_(std::move(peer)), timer_(context->loop), context_(std::move(context)),
      slot_(std::make_unique<Slot>(context_->occupancy, peer_.machine)) {
  const int fd = stream_.socket().native_handle(), on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  enable_keepalive(fd);
}

HttpConnection::~HttpConnection() = default;

void HttpConnection::start() {
  set_deadline(context_->options.header_timeout_ms);
  arm_timer();
  read_more();
}

void HttpConnection::start_tls() {
  state_ = State::securing;
  set_deadline(context_->options.header_timeout_ms);
  arm_timer();
  stream_.socket().async_wait(Stream::Socket::wait_read, [self = shared_from_this()](error_code ec) {
    if (self->state_ != State::securing) return;
    char first = 0;
    if (ec || ::recv(self->stream_.socket().native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) return self->close();
    if (first != kTlsHandshake) return self->refuse(400, "this port speaks TLS only; use https:// (and for clients and runners of riverbox the address that `riverbox host fingerprint` prints)");
    self->stream_.handshake(self->context_->options.tls, "", [self](error_code failed) {
      if (self->state_ != State::securing) return;
      if (failed) return self->close();
      self->state_ = State::idle;
      self->set_deadline(self->context_->options.header_timeout_ms);
      self->read_more();
    });
  });
}

void HttpConnection::start_refusing(std::string_view why) {
  if (context_->options.tls && !peer_.user) return close();  // the words would be sent after a handshake, which is what there is no room for
  set_deadline(kLingerMs);
  arm_timer();
  refuse(503, why);
}

void HttpConnection::close() {
  if (state_ == State::closed) return;
  auto self = shared_from_this();
  state_ = State::closed;
  leave_exchange();
  timer_.cancel();
  stream_.close();
  context_->closed(*this);
}

// ---- reading

void HttpConnection::read_more() {
  if (state_ == State::idle && in_.size() == 0 && in_.capacity() > kKeptBufferBytes) in_.shrink_to_fit();
  auto room = in_.prepare(head_seen_ ? kBodyReadBytes : kReadBytes);
  stream_.async_read_some(room, [self = shared_from_this()](error_code ec, size_t bytes) { self->on_read(ec, bytes); });
}

void HttpConnection::on_read(error_code ec, size_t bytes) {
  if (state_ != State::idle && state_ != State::reading) return;  // timed out meanwhile
  if (ec) return close();
  in_.commit(bytes);
  // The head has one time limit as a whole, or a byte now and then would hold the connection for ever; a body may take
  // its time as long as it comes.
  if (state_ == State::idle || head_seen_) set_deadline(context_->options.header_timeout_ms);
  state_ = State::reading;
  parse();
}

void HttpConnection::parse() {
  while (in_.size() > 0) {
    if (!parser_) parser_ = std::make_unique<HttpParser>(context_->options.max_body_bytes);
    HttpParser::Refusal refusal;
    const auto bytes = in_.data();
    const size_t used = parser_->put({static_cast<const char*>(bytes.data()), bytes.size()}, refusal);
    in_.consume(used);
    if (refusal.status) return refuse(refusal.status, refusal.detail);
    if (!head_seen_ && parser_->head_done()) {
      head_seen_ = true;
      if (!accept_head()) return;
    }
    if (parser_->done()) return dispatch();
    if (used == 0 && in_.size() > kMaxUnparsedBytes) return refuse(400, "malformed HTTP request: chunk header too long");
    if (used == 0) break;
  }
  read_more();
}

// False when the request is refused because of its head.
bool HttpConnection::accept_head() {
  const auto refusal = parser_->check_head();
  if (refusal.status) {
    refuse(refusal.status, refusal.detail);
    return false;
  }
  if (parser_->expects_continue() && parser_->has_body() && in_.size() == 0 && !stream_.secure()) {
    // 25 bytes fit into the buffer of a socket that waits for its first answer byte; should they not, the client goes
    // on by itself after a moment (RFC 9110 10.1.1), and so it does through TLS.
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    [[maybe_unused]] auto sent = ::send(stream_.socket().native_handle(), kContinue.data(), kContinue.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  return true;
}

// ---- handing over

void HttpConnection::dispatch() {
  state_ = State::handling;
  exchange_ = std::make_shared<Exchange>();
  exchange_->keep_alive = parser_->keep_alive();
  exchange_->http_1_0 = parser_->http_1_0();
  const bool had_body = parser_->has_body();
  Request request = parser_->take_request(peer_.address);
  request.local_user = peer_.user;
  request.secure = stream_.secure();
  parser_.reset();
  head_seen_ = false;
  if (request.method == "HEAD") {
    exchange_->head_only = true;
    request.method = "GET";
  }
  const bool wants_websocket = lists_token(request.header("upgrade"), "websocket") && lists_token(request.header("connection"), "upgrade");
  if (wants_websocket && context_->handlers.upgrade && !exchange_->head_only) {
    if (had_body || in_.size() > 0) return refuse(400, "a WebSocket handshake has no body and waits for its answer");
    return upgrade(std::move(request));
  }
  auto responder = make_responder(context_->gate, weak_from_this(), exchange_);
  try {
    context_->handlers.http(std::move(request), responder);
  } catch (const std::exception& error) {
    log::error("net", "a request handler failed", {{"error", error.what()}});
    responder->send(error_response(500, "internal error"));
  }
}

void HttpConnection::upgrade(Request request) {
  const std::string* version = request.header("sec-websocket-version");
  const std::string* key = request.header("sec-websocket-key");
  auto answer_with = [this](const Response& response) {
    answer(exchange_, format_answer_head(response, *exchange_), response.body);
  };
  if (request.method != "GET" || exchange_->http_1_0 || !key || key->size() != 24) return refuse(400, "malformed WebSocket handshake");
  if (!version || *version != "13") {
    Response response = error_response(426, "only version 13 of the WebSocket protocol is supported");
    response.headers = {{"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}};
    return answer_with(response);
  }
  try {
    auto decision = context_->handlers.upgrade(request);
    if (const Response* refused = std::get_if<Response>(&decision)) return answer_with(*refused);
    hand_over(std::move(request), std::move(std::get<Accept>(decision)));
  } catch (const std::exception& error) {
    log::error("net", "a WebSocket handler failed", {{"error", error.what()}});
    if (state_ == State::handling) answer_with(error_response(500, "internal error"));
  }
}

void HttpConnection::hand_over(Request request, Accept accept) {
  auto self = shared_from_this();
  state_ = State::closed;
  exchange_.reset();
  timer_.cancel();
  AcceptOptions options;
  options.subprotocol = std::move(accept.subprotocol);
  options.headers = std::move(accept.headers);
  options.max_message_bytes = context_->options.max_message_bytes;
  options.timing = context_->options.websocket;
  options.slot = std::move(slot_);
  accept_websocket(std::move(stream_), request, std::move(options),
                   [context = context_, opened = std::move(accept.opened)](std::shared_ptr<WebSocket> socket) {
                     context->upgraded(socket);
                     if (opened) opened(std::move(socket));
                   });
  context_->closed(*this);
}

// ---- answering

void HttpConnection::refuse(int status, std::string_view detail) {
  if (!exchange_) exchange_ = std::make_shared<Exchange>();
  exchange_->keep_alive = false;
  const Response response = error_response(status, detail);
  state_ = State::handling;
  answer(exchange_, format_answer_head(response, *exchange_), response.body);
}

void HttpConnection::answer(const std::shared_ptr<Exchange>& exchange, std::string head, std::string body) {
  if (exchange != exchange_ || state_ != State::handling) return;
  state_ = State::writing;
  write(std::move(head), std::move(body));
}

void HttpConnection::begin_stream(const std::shared_ptr<Exchange>& exchange, std::string head) {
  if (exchange != exchange_ || state_ != State::handling) return;
  state_ = State::streaming;
  watch_for_hangup();
  write(std::move(head), {});
}

// Sends what the producer has written meanwhile. Runs after each write and when the producer finds nothing under way.
void HttpConnection::pump_stream(const std::shared_ptr<Exchange>& exchange) {
  if (exchange != exchange_ || state_ != State::streaming) return;
  std::string bytes;
  bool finished, failed;
  {
    std::lock_guard lock(exchange->mutex);
    if (exchange->in_flight_bytes > 0 || !out_[0].empty()) return;  // on_written() comes back here
    bytes.swap(exchange->pending);
    exchange->in_flight_bytes = bytes.size();
    exchange->pump_posted = !bytes.empty();
    finished = exchange->finished;
    failed = exchange->failed;
  }
  if (!bytes.empty()) return write({}, std::move(bytes));
  if (failed) {
    // With a reset, because a body that ends with the connection would look complete.
    error_code ec;
    stream_.socket().set_option(asio::socket_base::linger(true, 0), ec);
    return close();
  }
  if (finished) return finish_response();
  if (const auto drained = exchange->events.drained) drained();  // a copy: it may end the response, and the original with it
}

void HttpConnection::write(std::string head, std::string body) {
  out_ = {std::move(head), std::move(body)};
  written_ = 0;
  set_deadline(context_->options.idle_timeout_ms);
  write_some();
}

void HttpConnection::write_some() {
  const size_t of_head = std::min(written_, out_[0].size());
  const std::array<asio::const_buffer, 2> rest{asio::buffer(out_[0]) + of_head, asio::buffer(out_[1]) + (written_ - of_head)};
  stream_.async_write_some(rest, [self = shared_from_this()](error_code ec, size_t bytes) {
    if (self->state_ == State::closed) return;
    if (ec) return self->close();
    self->set_deadline(self->context_->options.idle_timeout_ms);  // a slow reader may take long, but it has to read
    self->written_ += bytes;
    if (self->written_ < self->out_[0].size() + self->out_[1].size()) return self->write_some();
    self->on_written();
  });
}

void HttpConnection::on_written() {
  out_ = {};
  if (state_ != State::streaming) return finish_response();
  {
    std::lock_guard lock(exchange_->mutex);
    exchange_->in_flight_bytes = 0;
    exchange_->room.notify_all();
  }
  pump_stream(exchange_);
}

void HttpConnection::finish_response() {
  const bool keep_alive = exchange_->keep_alive;
  leave_exchange();
  if (!keep_alive) return linger();
  state_ = State::idle;
  set_deadline(context_->options.idle_timeout_ms);
  if (in_.size() == 0) return read_more();
  state_ = State::reading;
  set_deadline(context_->options.header_timeout_ms);
  parse();
}

void HttpConnection::leave_exchange() {
  if (!exchange_) return;
  const auto exchange = std::exchange(exchange_, nullptr);
  {
    std::lock_guard lock(exchange->mutex);
    exchange->gone = true;
    exchange->room.notify_all();
  }
  // They hold the owner of the body, who holds the exchange: the circle ends here.
  const auto events = std::exchange(exchange->events, {});
  if (events.closed) events.closed();
}

// While a stream has nothing to send, only reading tells that the client has left.
void HttpConnection::watch_for_hangup() {
  stream_.socket().async_wait(Stream::Socket::wait_read, [self = shared_from_this(), exchange = exchange_](error_code ec) {
    if (ec || self->state_ != State::streaming || exchange != self->exchange_) return;
    char byte;
    const ssize_t seen = ::recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (seen == 0 || (seen < 0 && errno != EAGAIN && errno != EINTR)) return self->close();
    if (seen < 0) self->watch_for_hangup();
    // seen > 0: the next request waits already, or the goodbye of TLS, which ends with the connection: on_timer() looks.
  });
}

// Whether the other half of the connection has ended, whatever lies unread before its end.
bool HttpConnection::peer_has_gone() {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE_WAIT;
}

// Ends our half and reads on for a while: closing with bytes unread would reset the connection, and the client might
// lose the answer that it was about to read.
void HttpConnection::linger() {
  state_ = State::lingering;
  parser_.reset();
  set_deadline(kLingerMs);
  arm_timer();
  stream_.finish([self = shared_from_this()](error_code) { self->close(); });
}

// ---- time

void HttpConnection::set_deadline(int milliseconds) { deadline_ = Clock::now() + std::chrono::milliseconds(milliseconds); }

// One wait for many deadlines: it looks in at least as often as the shortest of them, so that moving a deadline, which
// happens several times per request, costs nothing.
void HttpConnection::arm_timer() {
  const int shortest = std::min(context_->options.header_timeout_ms, context_->options.idle_timeout_ms);
  timer_.expires_at(std::min(deadline_, Clock::now() + std::chrono::milliseconds(shortest)));
  timer_.async_wait([self = shared_from_this()](error_code ec) {
    if (!ec && self->state_ != State::closed) self->on_timer();
  });
}

void HttpConnection::on_timer() {
  const bool waits_for_owner = state_ == State::handling || (state_ == State::streaming && out_[0].empty() && out_[1].empty());
  const bool late = !waits_for_owner && Clock::now() >= deadline_;
  if (late && state_ == State::reading) {
    // Not over the read that is still under way: its buffer is ours no more once we linger.
    error_code ec;
    stream_.socket().cancel(ec);
  }
  if (late && state_ != State::reading) return close();
  if (state_ == State::streaming && peer_has_gone()) return close();
  if (late) refuse(408, "the request took too long to arrive");
  arm_timer();
}

}  // namespace riverbox::net
