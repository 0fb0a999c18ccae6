#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/http_connection.hpp"

namespace riverbox::net {

void Gate::close() {
  std::lock_guard lock(mutex_);
  open_ = false;
}

bool Gate::on_loop_thread() {
  std::lock_guard lock(mutex_);
  return open_ && loop_.get_executor().running_in_this_thread();
}

void Gate::run(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (!open_) return;
    if (!loop_.get_executor().running_in_this_thread()) {
      loop_.get_executor().post(std::move(work), std::allocator<void>());
      return;
    }
  }
  work();
}

namespace {

// What may lie in memory for one slow reader.
constexpr size_t kMaxQueuedBytes = 256 << 10;

struct Way {  // to the connection, from any thread
  std::shared_ptr<Gate> gate;
  std::weak_ptr<HttpConnection> connection;
  std::shared_ptr<Exchange> exchange;

  // Never locks the weak pointer on a foreign thread, so that a connection is only ever destroyed by the loop.
  template <class Work>
  void run(Work work) const {
    gate->run([connection = connection, exchange = exchange, work = std::move(work)]() mutable {
      if (auto alive = connection.lock()) work(*alive, exchange);
    });
  }
  void pump() const {
    run([](HttpConnection& c, const std::shared_ptr<Exchange>& exchange) { c.pump_stream(exchange); });
  }
};

class QueueWriter final : public BodyWriter {
public:
  QueueWriter(Way way, bool chunked, std::optional<std::uint64_t> length)
      : way_(std::move(way)), chunked_(chunked), missing_(length), may_wait_(!way_.gate->on_loop_thread()) {}

  void write(std::string bytes) override {
    if (bytes.empty()) return;  // an empty chunk would end the body
    if (missing_) {
      if (bytes.size() > *missing_) throw InternalError("the body is longer than its Content-Length");
      *missing_ -= bytes.size();
    }
    Exchange& queue = *way_.exchange;
    {
      std::unique_lock lock(queue.mutex);
      if (may_wait_)
        queue.room.wait(lock, [&] { return queue.gone || queue.pending.size() + queue.in_flight_bytes < kMaxQueuedBytes; });
      if (queue.gone) throw Cancelled("the client has gone");
      if (chunked_) fmt::format_to(std::back_inserter(queue.pending), "{:x}\r\n", bytes.size());
      queue.pending += bytes;
      if (chunked_) queue.pending += "\r\n";
      if (std::exchange(queue.pump_posted, true)) return;
    }
    way_.pump();
  }

  bool client_gone() const override {
    std::lock_guard lock(way_.exchange->mutex);
    return way_.exchange->gone;
  }

  void finish() {
    if (missing_ && *missing_ > 0) throw InternalError("the body is shorter than its Content-Length");
    end(false);
  }
  void fail() { end(true); }

private:
  void end(bool failed) {
    {
      std::lock_guard lock(way_.exchange->mutex);
      if (chunked_ && !failed) way_.exchange->pending += "0\r\n\r\n";
      way_.exchange->finished = !failed;
      way_.exchange->failed = failed;
    }
    way_.pump();
  }

  Way way_;
  bool chunked_;
  std::optional<std::uint64_t> missing_;  // of the Content-Length that was promised
  bool may_wait_;
};

class QueuedBody final : public OpenBody {
public:
  QueuedBody(Way way, bool chunked, std::optional<std::uint64_t> length) : way_(way), writer_(std::move(way), chunked, length) {}
  ~QueuedBody() override {
    if (!finished_) writer_.fail();
  }

  void write(std::string bytes) override {
    try {
      writer_.write(std::move(bytes));
    } catch (const Cancelled&) {
      // `closed` tells its owner
    } catch (const InternalError& error) {
      fail(error);
    }
  }
  size_t queued_bytes() const override {
    std::lock_guard lock(way_.exchange->mutex);
    return way_.exchange->pending.size() + way_.exchange->in_flight_bytes;
  }
  void finish() override {
    if (std::exchange(finished_, true)) return;
    try {
      writer_.finish();
    } catch (const InternalError& error) {
      fail(error);
    }
  }

private:
  // It does not have the length that was promised.
  void fail(const InternalError& error) {
    log::warning("net", "a response was cut short", {{"error", error.what()}});
    finished_ = true;
    writer_.fail();
  }
  Way way_;
  QueueWriter writer_;
  bool finished_ = false;
};

std::optional<std::uint64_t> content_length(const Response& head) {
  for (const auto& [name, value] : head.headers)
    if (to_lower(name) == "content-length") return parse_u64(value);
  return std::nullopt;
}

class ConnectionResponder final : public Responder {
public:
  explicit ConnectionResponder(Way way) : way_(std::move(way)) {}

  ~ConnectionResponder() override {
    if (!used_) send(error_response(500, "the request was dropped without an answer"));
  }

  void send(Response response) override {
    if (!first_use()) return;
    std::string head = format_answer_head(response, *way_.exchange);
    const bool bodiless = way_.exchange->head_only || response.status == 204 || response.status == 304;
    std::string body = bodiless ? std::string() : std::move(response.body);
    way_.run([head = std::move(head), body = std::move(body)](HttpConnection& c, const std::shared_ptr<Exchange>& exchange) mutable {
      c.answer(exchange, std::move(head), std::move(body));
    });
  }

  void stream(Response response, const std::function<void(BodyWriter&)>& produce) override {
    if (!first_use()) return;
    const auto length = content_length(response);
    if (!begin(response, length)) return;
    QueueWriter writer(way_, !length && !way_.exchange->http_1_0, length);
    try {
      produce(writer);
      writer.finish();
    } catch (const Cancelled&) {
      writer.fail();
    } catch (const std::exception& error) {
      log::warning("net", "a response was cut short", {{"error", error.what()}});
      writer.fail();
    }
  }

  std::unique_ptr<OpenBody> open(Response response, OpenBody::Events events) override {
    const auto length = content_length(response);
    if (!first_use() || is_gone() || !begin(response, length)) return nullptr;
    way_.exchange->events = std::move(events);
    return std::make_unique<QueuedBody>(way_, !length && !way_.exchange->http_1_0, length);
  }

private:
  // Sends the head. False: that is all, it was a HEAD request.
  bool begin(const Response& response, std::optional<std::uint64_t> length) {
    Exchange& request = *way_.exchange;
    if (!length && request.http_1_0) request.keep_alive = false;  // only the end of the connection can end the body
    way_.run([head = format_head(response, length, request.keep_alive, request.http_1_0)](HttpConnection& c, const std::shared_ptr<Exchange>& exchange) mutable {
      exchange->head_only ? c.answer(exchange, std::move(head), {}) : c.begin_stream(exchange, std::move(head));
    });
    return !request.head_only;
  }

  bool is_gone() const {
    std::lock_guard lock(way_.exchange->mutex);
    return way_.exchange->gone;
  }

  bool first_use() {
    if (!used_.exchange(true)) return true;
    log::error("net", "a request was answered twice; the second answer is lost");
    return false;
  }

  Way way_;
  std::atomic<bool> used_{false};
};

}  // namespace

std::shared_ptr<Responder> make_responder(std::shared_ptr<Gate> gate, std::weak_ptr<HttpConnection> connection,
                                          std::shared_ptr<Exchange> exchange) {
  return std::make_shared<ConnectionResponder>(Way{std::move(gate), std::move(connection), std::move(exchange)});
}

}  // namespace riverbox::net
