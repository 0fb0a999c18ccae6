// Both ends of a WebSocket: one class over Beast's stream, with the outgoing queue, the pings and the time-outs that Beast
// leaves to its user. Beast's own time-outs are off, because they count silence also while reading is paused.
#include "net/websocket.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <deque>
#include <mutex>
#include <optional>

#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/websocket_stream.hpp"

namespace riverbox::net {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = beast::websocket;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

// A message of a tunnel, which is 64 KiB and its headers, goes through each of these in one piece.
constexpr size_t kSocketReadBytes = 80 << 10;
constexpr size_t kKeptMessageBytes = 256 << 10;  // a bigger one is given back after its message
constexpr size_t kWriteBufferBytes = 80 << 10;  // in which a client masks
constexpr std::uint16_t kNoCode = 1005, kBroken = 1006;

Clock::duration ms(int count) { return std::chrono::milliseconds(count); }

// RFC 6455 7.4: what may stand in a close frame.
bool may_be_sent(std::uint16_t code) {
  return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

std::string fitting_reason(std::string reason) {
  if (reason.size() > 123) {
    reason.resize(120);
    reason.resize(complete_utf8_prefix(reason));
    reason += "...";
  }
  return valid_utf8(reason).size() <= 123 ? valid_utf8(reason) : std::string();
}

std::uint16_t code_of(const error_code& ec) {
  if (ec == ws::error::message_too_big || ec == ws::error::buffer_overflow) return 1009;
  if (ec == ws::error::bad_frame_payload) return 1007;
  return ec == ws::condition::protocol_violation ? 1002 : kBroken;
}

class Connection final : public WebSocket, public std::enable_shared_from_this<Connection> {
public:
  Connection(WsStream stream, std::string subprotocol, std::uint64_t max_message_bytes, WebSocketTiming timing, std::shared_ptr<void> slot)
      : stream_(std::move(stream)), timer_(stream_.get_executor()), subprotocol_(std::move(subprotocol)), timing_(timing),
        slot_(std::move(slot)) {
    stream_.read_message_max(max_message_bytes);
  }

  void start(Events events) override {
    events_ = std::move(events);
    started_ = true;
    if (finished_) {  // it broke before anybody listened
      asio::post(stream_.get_executor(), [self = shared_from_this()] { self->tell_closed(); });
      return;
    }
    last_heard_ = Clock::now();
    stream_.control_callback([this](ws::frame_type, beast::string_view) { last_heard_ = Clock::now(); });
    arm_timer();
    read_some();
  }

  void send(std::string data, bool binary) override {
    {
      std::lock_guard lock(mutex_);
      if (closing_) return;
      queued_bytes_ += data.size();
      inbox_.push_back({std::move(data), binary});
    }
    request_flush();
  }

  size_t queued_bytes() const override { return queued_bytes_; }
  const std::string& subprotocol() const override { return subprotocol_; }

  void pause_reading() override { paused_ = true; }
  void resume_reading() override {
    if (!std::exchange(paused_, false)) return;
    last_heard_ = Clock::now();
    if (started_ && !finished_ && !reading_) asio::post(stream_.get_executor(), [self = shared_from_this()] { self->read_some(); });
  }

  void close(std::uint16_t code, std::string reason) override {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(closing_, true)) return;
      close_code_ = may_be_sent(code) ? code : 1000;
      close_reason_ = fitting_reason(std::move(reason));
    }
    request_flush();
  }

private:
  struct Message {
    std::string data;
    bool binary;
  };

  // ---- out

  // The queue is filled by any thread under the mutex, so messages leave in the order of the calls; one flush at a time is on
  // its way to the loop.
  void request_flush() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(flush_posted_, true)) return;
    }
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->flush(); });
  }

  void flush() {
    {
      std::lock_guard lock(mutex_);
      flush_posted_ = false;
      for (Message& message : inbox_) outgoing_.push_back(std::move(message));
      inbox_.clear();
      if (closing_ && !close_deadline_) {
        close_deadline_ = Clock::now() + ms(timing_.close_ms);
        arm_timer();
      }
    }
    if (finished_) return drop_queue();
    if (!writing_) write_next();
  }

  void write_next() {
    if (outgoing_.empty()) {
      if (close_deadline_) begin_close();
      return;
    }
    writing_ = true;
    Message& next = outgoing_.front();
    stream_.binary(next.binary);
    stream_.async_write(asio::buffer(next.data), [self = shared_from_this()](error_code ec, size_t) { self->on_written(ec); });
  }

  void on_written(error_code ec) {
    writing_ = false;
    if (finished_) return drop_queue();
    queued_bytes_ -= outgoing_.front().data.size();
    outgoing_.pop_front();
    // Aborted means that the read beside it has seen the end first; it will say how.
    if (ec == asio::error::operation_aborted && reading_) return drop_queue();
    if (ec) return finish(kBroken, ec.message());
    if (close_deadline_) close_deadline_ = Clock::now() + ms(timing_.close_ms);
    if (outgoing_.empty() && queued_bytes_ == 0 && !close_deadline_ && events_.drained) guarded(events_.drained);
    if (!writing_ && !finished_) write_next();  // `drained` may have sent something
  }

  void drop_queue() {
    outgoing_.clear();
    queued_bytes_ = 0;
  }

  // ---- in

  void read_some() {
    if (reading_ || finished_ || close_sent_ || paused_) return;
    reading_ = true;
    stream_.async_read_some(in_, kSocketReadBytes, [self = shared_from_this()](error_code ec, size_t) { self->on_read(ec); });
  }

  void on_read(error_code ec) {
    reading_ = false;
    if (finished_) return;
    last_heard_ = Clock::now();
    if (ec == ws::error::closed) return finish_as_told();
    if (ec) {
      // Our own close handshake has taken over the reading.
      if (close_sent_ && ec == asio::error::operation_aborted) return;
      return finish(code_of(ec), ec.message());
    }
    if (stream_.is_message_done()) deliver();
    if (!finished_) read_some();
  }

  void deliver() {
    const auto bytes = in_.data();
    if (!close_deadline_ && events_.message) {
      const std::string_view data(static_cast<const char*>(bytes.data()), bytes.size());
      guarded([&] { events_.message(data, stream_.got_binary()); });
    }
    in_.consume(in_.size());
    if (in_.capacity() > kKeptMessageBytes) in_.shrink_to_fit();
  }

  // ---- the end

  void begin_close() {
    if (std::exchange(close_sent_, true)) return;
    ws::close_reason reason(static_cast<ws::close_code>(close_code_), beast::string_view(close_reason_.data(), close_reason_.size()));
    stream_.async_close(reason, [self = shared_from_this()](error_code ec) {
      if (self->finished_) return;
      if (!ec) return self->finish_as_told();
      if (ec == asio::error::operation_aborted && self->reading_) return;  // the read knows better
      self->finish(kBroken, ec.message());
    });
  }

  // With what the peer's close frame says.
  void finish_as_told() {
    const ws::close_reason& reason = stream_.reason();
    const auto code = static_cast<std::uint16_t>(reason.code);
    const std::string text(reason.reason.data(), reason.reason.size());
    finish(code == 0 ? kNoCode : code, text);
  }

  void finish(std::uint16_t code, std::string reason) {
    if (std::exchange(finished_, true)) return;
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      inbox_.clear();
    }
    final_code_ = code;
    final_reason_ = std::move(reason);
    timer_.cancel();
    stream_.next_layer().close();
    if (!writing_) drop_queue();  // else its buffer is still in use
    slot_.reset();
    if (started_) tell_closed();
  }

  void tell_closed() {
    Events events = std::move(events_);  // frees what the callbacks hold, maybe us
    events_ = {};
    if (events.closed) guarded([&] { events.closed(final_code_, final_reason_); });
  }

  // Frames are hostile until proven otherwise: what a handler throws over one of them ends this connection, not the loop.
  template <class Callback>
  void guarded(const Callback& callback) {
    try {
      callback();
    } catch (const std::exception& error) {
      log::error("net", "a WebSocket handler failed", {{"error", error.what()}});
      close(1011, "internal error");
    }
  }

  // ---- time

  void arm_timer() {
    if (finished_) return;
    auto wake = Clock::now() + ms(std::max(1, std::min(timing_.ping_after_ms, timing_.silent_after_ms) / 2));
    if (close_deadline_) wake = std::min(wake, *close_deadline_);
    timer_.expires_at(wake);
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec && !self->finished_) self->on_timer();
    });
  }

  void on_timer() {
    const auto now = Clock::now();
    if (close_deadline_ && now >= *close_deadline_) return finish(kBroken, "the peer did not answer the close frame");
    const auto silent_for = now - last_heard_;
    if (!paused_ && silent_for >= ms(timing_.silent_after_ms)) return finish(kBroken, "the peer has been silent for too long");
    if ((paused_ || silent_for >= ms(timing_.ping_after_ms)) && !pinging_ && !close_deadline_) {
      pinging_ = true;
      auto sent = [self = shared_from_this()](error_code) { self->pinging_ = false; };
      // While we do not read, nobody would see the answer to a ping; an unasked-for pong still shows that we live.
      if (paused_)
        stream_.async_pong({}, sent);
      else
        stream_.async_ping({}, sent);
    }
    arm_timer();
  }

  WsStream stream_;
  asio::steady_timer timer_;
  const std::string subprotocol_;
  const WebSocketTiming timing_;
  std::shared_ptr<void> slot_;
  Events events_;
  bool started_ = false, finished_ = false;

  std::mutex mutex_;  // guards the next five
  std::vector<Message> inbox_;
  bool flush_posted_ = false, closing_ = false;
  std::uint16_t close_code_ = 1000;
  std::string close_reason_;

  std::deque<Message> outgoing_;  // the front is being written
  std::atomic<size_t> queued_bytes_{0};
  bool writing_ = false, pinging_ = false;

  beast::flat_buffer in_;
  bool reading_ = false, paused_ = false;
  Clock::time_point last_heard_ = Clock::now();

  std::optional<Clock::time_point> close_deadline_;  // since close() was called
  bool close_sent_ = false;
  std::uint16_t final_code_ = kBroken;
  std::string final_reason_;
};

}  // namespace

void prepare(WsStream& stream) {
  stream.set_option(ws::stream_base::timeout{ws::stream_base::none(), ws::stream_base::none(), false});
  stream.auto_fragment(false);
  stream.write_buffer_bytes(kWriteBufferBytes);
}

std::shared_ptr<WebSocket> make_websocket(WsStream stream, std::string subprotocol, std::uint64_t max_message_bytes, WebSocketTiming timing,
                                          std::shared_ptr<void> slot) {
  return std::make_shared<Connection>(std::move(stream), std::move(subprotocol), max_message_bytes, timing, std::move(slot));
}

}  // namespace riverbox::net
