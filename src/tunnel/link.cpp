#include "tunnel/link.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/strings.hpp"
#include "tunnel/mux.hpp"
#include "tunnel/socket.hpp"

namespace riverbox::tunnel {

namespace {

namespace asio = boost::asio;

constexpr std::size_t kReadBytes = 256 << 10, kReadsInTurn = 4;
constexpr std::size_t kBatchBytes = 32 << 10;   // so much is sent at once; less waits for what else is to be said in this turn of the loop
constexpr std::size_t kLowBytes = 64 << 10;     // what may be left when the queue counts as drained
constexpr std::size_t kKeptBytes = 512 << 10;   // a bigger buffer is given back as soon as it is empty

// All links read into the same place: what one reads is handed on before the next one reads.
char* scratch() {
  static std::array<char, kReadBytes> bytes;
  return bytes.data();
}

class SocketLink final : public Link, public std::enable_shared_from_this<SocketLink> {
public:
  SocketLink(asio::io_context& loop, os::UniqueFd fd) : loop_(loop), socket_(loop, std::move(fd)) {}

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    wait_to_read();
  }

  void send(const Message& message) override {
    if (closed_) return;
    if (queued_bytes() == 0 && message.payload.size() >= kBatchBytes) send_at_once(message);
    else append_framed(out_, message);
    if (queued_bytes() >= kBatchBytes && !writing_) write();
    clogged_ = clogged_ || queued_bytes() >= Mux::kQueueBytes;
    if ((queued_bytes() > 0 || clogged_ || broken_) && !writing_ && !std::exchange(flush_posted_, true)) call_later(loop_, [self = shared_from_this()] { self->flush(); });
  }

  std::size_t queued_bytes() const override { return out_.size() - at_; }

  void may_read(bool may) override {
    if (std::exchange(reading_, may) == may || !may || closed_) return;
    call_later(loop_, [self = shared_from_this()] { self->read_on(); });
  }

  void close(const std::string&) override {
    if (closed_) return;
    if (!writing_) write();
    shut();
    events_.reset();
  }

private:
  void shut() {
    closed_ = true;
    socket_.close();
    out_ = {};
    at_ = 0;
  }

  void fail(const std::string& why) {
    if (closed_) return;
    shut();
    if (const auto events = std::exchange(events_, nullptr)) events->closed(why);
  }

  // ---- out

  void send_at_once(const Message& message) {
    std::string head;
    append_framed(head, {message.type, message.proto, message.id, message.port, {}});
    const std::string length = encode_u32(static_cast<std::uint32_t>(kHeaderBytes + message.payload.size()));
    head.replace(0, length.size(), length);
    std::array<iovec, 2> pieces{{{head.data(), head.size()}, {const_cast<char*>(message.payload.data()), message.payload.size()}}};
    msghdr all{};
    all.msg_iov = pieces.data();
    all.msg_iovlen = pieces.size();
    const ssize_t size = ::sendmsg(socket_.fd(), &all, MSG_NOSIGNAL | MSG_DONTWAIT);
    const std::size_t sent = size > 0 ? static_cast<std::size_t>(size) : 0;  // an error comes again
    if (sent < head.size()) out_.append(head, sent);
    const std::size_t of_payload = sent - std::min(sent, head.size());
    out_.append(message.payload.substr(of_payload));
  }

  // As much as the socket takes; the rest when it takes more.
  void write() {
    while (queued_bytes() > 0 && !broken_) {
      const ssize_t size = ::send(socket_.fd(), out_.data() + at_, queued_bytes(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno != EAGAIN) broken_ = errno;
      if (size < 0) break;
      at_ += static_cast<std::size_t>(size);
    }
    if (queued_bytes() == 0) {
      at_ = 0;
      out_.clear();
      if (out_.capacity() > kKeptBytes) out_.shrink_to_fit();
    } else if (at_ >= out_.size() / 2) {
      out_.erase(0, std::exchange(at_, 0));
    }
  }

  void flush() {
    flush_posted_ = false;
    if (closed_ || writing_) return;
    write();
    if (broken_) return fail(std::strerror(broken_));
    if (queued_bytes() > 0) {
      writing_ = true;
      socket_.when_writable([self = shared_from_this()] {
        self->writing_ = false;
        self->flush();
      });
    }
    if (clogged_ && queued_bytes() <= kLowBytes) {
      clogged_ = false;
      guarded([events = events_] { events->drained(); });
    }
  }

  // ---- in

  void wait_to_read() {
    if (closed_ || !reading_ || std::exchange(waiting_, true)) return;
    socket_.when_readable([self = shared_from_this()] {
      self->waiting_ = false;
      self->read();
    });
  }

  bool take(std::string_view message) {
    guarded([&, events = events_] { events->message(message); });  // held: they may close the link
    return reading_ && !closed_;
  }

  bool unframe(std::string_view bytes) {
    const bool sense = unframer_.feed(bytes, [this](std::string_view message) { return take(message); });
    if (!sense) fail("the other end of the tunnel sent what is no message");
    return reading_ && !closed_;
  }

  void read_on() {
    if (!closed_ && reading_ && unframe({})) wait_to_read();
  }

  void read() {
    for (std::size_t turn = 0; turn < kReadsInTurn && reading_ && !closed_; ++turn) {
      const ssize_t size = ::recv(socket_.fd(), scratch(), kReadBytes, MSG_DONTWAIT);
      if (size == 0) return fail("the other end has left");
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) return fail(std::strerror(errno));
      if (!unframe({scratch(), static_cast<std::size_t>(size)})) return;
      if (static_cast<std::size_t>(size) < kReadBytes) break;
    }
    wait_to_read();
  }

  // What the other end says is hostile until proven otherwise: an error over it ends this link, not the loop.
  template <class Callback>
  void guarded(const Callback& callback) {
    try {
      callback();
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }

  asio::io_context& loop_;
  Socket socket_;
  std::shared_ptr<const Events> events_;  // null: closed
  Unframer unframer_;
  std::string out_;
  std::size_t at_ = 0;
  int broken_ = 0;
  bool closed_ = false, reading_ = true, waiting_ = false, writing_ = false, flush_posted_ = false, clogged_ = false;
};

class WebSocketLink final : public Link, public std::enable_shared_from_this<WebSocketLink> {
public:
  explicit WebSocketLink(std::shared_ptr<net::WebSocket> socket) : socket_(std::move(socket)) {}

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    socket_->start({.message = [self = shared_from_this()](std::string_view data, bool binary) { self->got(data, binary); },
                    .closed = [self = shared_from_this()](std::uint16_t, std::string_view reason) { self->fail(reason.empty() ? "the connection was lost" : printable(reason)); },
                    .drained = [self = shared_from_this()] {
                      if (const auto events = self->events_) events->drained();
                    }});
  }
  void send(const Message& message) override { socket_->send(encode(message), true); }
  std::size_t queued_bytes() const override { return socket_->queued_bytes(); }
  void may_read(bool may) override { may ? socket_->resume_reading() : socket_->pause_reading(); }
  void close(const std::string& why) override {
    events_.reset();
    socket_->close(1000, why);
  }

private:
  void got(std::string_view data, bool binary) {
    const auto events = events_;  // held: they may close the link
    if (!events) return;
    try {
      if (!binary) return events->text ? events->text(data) : void();
      events->message(data);
    } catch (const std::exception& error) {
      socket_->close(1002, error.what());
      fail(error.what());
    }
  }
  void fail(const std::string& why) {
    if (const auto events = std::exchange(events_, nullptr)) events->closed(why);
  }

  std::shared_ptr<net::WebSocket> socket_;
  std::shared_ptr<const Events> events_;  // null: closed
};

}  // namespace

std::shared_ptr<Link> make_link(asio::io_context& loop, os::UniqueFd socket) { return std::make_shared<SocketLink>(loop, std::move(socket)); }
std::shared_ptr<Link> make_link(std::shared_ptr<net::WebSocket> socket) { return std::make_shared<WebSocketLink>(std::move(socket)); }

}  // namespace riverbox::tunnel
