// Follows one task for a client of HTTP alone, as Server-Sent Events (docs/api.md, "Events of a task").
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/shapes.hpp"
#include "api/task_feed.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr auto kKeepAlive = std::chrono::seconds(15);  // proxies cut what is silent for a minute
constexpr std::string_view kAll = "end";

// What the id of an event says: "1-2048-0", the attempt and how much of its stdout and stderr has been told; "1-2048-0-end" of the last event.
struct EventId {
  FeedPosition at;
  bool all = false;
};

EventId parse_event_id(std::string_view text) {
  const auto parts = split(text, '-');
  const bool all = parts.size() == 4 && parts[3] == kAll;
  std::array<std::optional<std::uint64_t>, 3> numbers;
  if (parts.size() == 3 || all)
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = parse_u64(parts[i]);
  if (!numbers[0] || *numbers[0] == 0 || !numbers[1] || !numbers[2])
    throw InvalidInput("'" + printable(text, 100) + "' is not the id of an event", "Give the id of the last event that was received, such as 1-2048-0, or none.");
  return {{*numbers[0], {*numbers[1], *numbers[2]}}, all};
}

// The header goes first: a browser that comes back sends it, with the query of its first request.
EventId asked_from(const net::Request& request) {
  if (const auto* last = request.header("last-event-id"); last && !last->empty()) return parse_event_id(*last);
  const auto since = request.query.find("since");
  return since == request.query.end() ? EventId{} : parse_event_id(since->second);
}

class EventReader final : public FeedReader, public std::enable_shared_from_this<EventReader> {
public:
  EventReader(Services& services, Identity identity, std::unique_ptr<net::OpenBody> body, const FeedPosition& from)
      : services_(services), identity_(std::move(identity)), body_(std::move(body)), at_(from), timer_(services.loop) {}

  void start() {
    body_->write("retry: 1000\n\n");
    keep_alive();
  }

  void status(const store::TaskRecord& task) override {
    if (const auto attempt = static_cast<std::uint64_t>(task.spec.attempt); attempt != at_.attempt) {
      tell_held();
      at_ = {attempt, {}};
    }
    event("status", shape(task));
  }

  // What is cut in the middle of a character waits for the rest of it.
  void output(bool is_stderr, std::uint64_t offset, std::string_view bytes) override {
    auto& held = held_[is_stderr];
    at_.offsets[is_stderr] = offset - held.size();
    held += bytes;
    tell_output(is_stderr, complete_utf8_prefix(held));
  }

  void end(const store::TaskRecord& task) override {
    tell_held();
    event("end", shape(task), true);
    body_->finish();
  }

  void fail(const std::string&) override { body_.reset(); }  // without an end: the client comes back

  size_t queued_bytes() const override { return body_->queued_bytes(); }

private:
  Json shape(const store::TaskRecord& task) const { return task_shape(task, identity_, services_.config->paths.shared_dir); }

  void event(const char* type, const Json& data, bool last = false) {
    const auto& [out, err] = at_.offsets;
    body_->write(fmt::format("event: {}\nid: {}-{}-{}{}\ndata: {}\n\n", type, at_.attempt, out, err, last ? "-end" : "",
                             data.dump(-1, ' ', false, Json::error_handler_t::replace)));
  }

  // Text where it is text, so that a page can show it; nothing is ever replaced.
  void tell_output(bool is_stderr, size_t size) {
    if (size == 0) return;
    const std::string bytes = held_[is_stderr].substr(0, size);
    held_[is_stderr].erase(0, size);
    at_.offsets[is_stderr] += size;
    event(is_stderr ? "stderr" : "stdout", valid_utf8(bytes) == bytes ? Json{{"text", bytes}} : Json{{"base64", base64(bytes)}});
  }

  void tell_held() {
    for (bool is_stderr : {false, true}) tell_output(is_stderr, held_[is_stderr].size());
  }

  void keep_alive() {
    timer_.expires_after(kKeepAlive);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || !self->body_) return;
      if (self->body_->queued_bytes() == 0) self->body_->write(": keep-alive\n\n");
      self->keep_alive();
    });
  }

  Services& services_;
  const Identity identity_;
  std::unique_ptr<net::OpenBody> body_;
  FeedPosition at_;                     // what has been told
  std::array<std::string, 2> held_;     // at most three bytes each
  boost::asio::steady_timer timer_;
};

// Loop thread.
void open_events(const CallPtr& call, const FeedPosition& from) {
  auto& services = call->services;
  auto feed = std::make_shared<TaskFeed>(services, call->identity, call->parameter("id"), from);
  net::Response head{.content_type = "text/event-stream"};
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};  // nginx would collect them
  auto body = call->responder->open(std::move(head), {.drained = [feed] { feed->drained(); }, .closed = [feed] { feed->closed(); }});
  if (!body) return;
  auto reader = std::make_shared<EventReader>(services, call->identity, std::move(body), from);
  reader->start();
  services.vps_guests.add(guest_key(call->identity.name, TaskId::parse(call->parameter("id"))), reader, [](EventReader& cut) { cut.fail(""); });
  services.guests.add(call->identity.token_id, reader, [](EventReader& cut) { cut.fail(""); });
  feed->start(std::move(reader));
}

}  // namespace

void task_events(CallPtr call) {
  const auto from = asked_from(call->request);
  const auto task = visible_task(*call);  // an unknown one is refused before the head is sent
  // A browser comes back after the end, too, unless it is told so.
  const bool knows_all = from.all && is_final(task.state) && from.at.attempt == static_cast<std::uint64_t>(task.spec.attempt);
  if (knows_all) return call->responder->send({.status = 204, .content_type = ""});
  boost::asio::post(call->services.loop, [call, from] { open_events(call, from.at); });
}

}  // namespace riverbox::api
