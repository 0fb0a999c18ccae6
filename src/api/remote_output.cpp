// Output that lies on a node without the share: its runner sends the part that was asked for (docs/link-protocol.md, "Log streams"). Loop thread.
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/output.hpp"
#include "api/services.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMaxQueuedBytes = 256 * 1024;
constexpr auto kPatience = std::chrono::seconds(10);  // for the stream to arrive and to begin

class RemoteOutput : public std::enable_shared_from_this<RemoteOutput> {
public:
  RemoteOutput(CallPtr call, const store::TaskRecord& task, bool is_stderr, net::PartRequest request)
      : call_(std::move(call)), node_(task.node), attempt_(task.spec.attempt), is_stderr_(is_stderr), request_(std::move(request)), timer_(call_->services.loop) {}

  void ask(host::RunnerLink& link, const store::TaskRecord& task) {
    expected_ = broker().expect([self = shared_from_this()](std::shared_ptr<net::WebSocket> stream) { self->arrived(std::move(stream)); });
    timer_.expires_after(kPatience);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->give_up("it does not answer");
    });
    link.open_output(expected_, {task.spec.id, attempt_, is_stderr_ ? task.spec.stderr_file : task.spec.stdout_file, request_.range, request_.last_lines});
  }

private:
  StreamBroker& broker() { return call_->services.broker; }

  void arrived(std::shared_ptr<net::WebSocket> stream) {
    stream_ = std::move(stream);
    stream_->start({.message = [self = shared_from_this()](std::string_view data, bool binary) { self->message(data, binary); },
                    .closed = [self = shared_from_this()](std::uint16_t, std::string_view reason) { self->closed(std::string(reason)); },
                    .drained = [] {}});
  }

  // First the head, then bytes, at last the end.
  void message(std::string_view data, bool binary) {
    if (!answered_) return binary ? give_up("its runner is of an older version") : head(nlohmann::json::parse(data, nullptr, false));
    if (!body_) return;
    if (!binary) return body_->finish();
    body_->write(std::string(data.substr(1)));
    if (body_->queued_bytes() > kMaxQueuedBytes) stream_->pause_reading();
  }

  void head(const nlohmann::json& told) {
    const auto text = [&told](const char* key) { return told.is_object() && told.contains(key) && told[key].is_string() ? told[key].get<std::string>() : ""; };
    const auto number = [&told](const char* key) { return told.contains(key) && told[key].is_number_unsigned() ? told[key].get<std::uint64_t>() : 0; };
    if (text("type") != "part") return give_up("its runner is of an older version");
    const auto state = text("state");
    if (state == "error") return give_up(text("message"));
    const net::RangeWish wish{state == "part" ? net::RangeWish::Kind::part : state == "unsatisfiable" ? net::RangeWish::Kind::unsatisfiable : net::RangeWish::Kind::whole,
                              number("offset"), number("size_bytes")};
    settle();
    if (state == "missing") return send_no_output(call_, is_stderr_, request_, attempt_);
    auto head = output_head(wish, number("whole_bytes"), attempt_);
    if (wish.kind == net::RangeWish::Kind::unsatisfiable) return call_->responder->send(std::move(head));
    body_ = call_->responder->open(std::move(head), {.drained = [self = shared_from_this()] { self->drained(); },
                                                     .closed = [self = shared_from_this()] { self->gone(); }});
    if (!body_) gone();  // a HEAD request
  }

  void drained() {
    if (stream_) stream_->resume_reading();
  }
  void gone() {
    body_.reset();
    if (stream_) stream_->close(1001, "");
  }
  void closed(const std::string& reason) {
    stream_.reset();
    give_up(reason.empty() ? "the link broke" : reason);
    body_.reset();  // cut, unless it was finished
  }

  void give_up(const std::string& why) {
    if (answered_) return;
    settle();
    call_->responder->send(detail(504, "the output of this task lies on node " + printable(node_) + ", which does not have the share, and cannot be had from there: " +
                                           printable(why) + "."));
    if (stream_) stream_->close(1001, "");
  }

  void settle() {
    answered_ = true;
    timer_.cancel();
    broker().forget(expected_);
  }

  CallPtr call_;
  const std::string node_;
  const int attempt_;
  const bool is_stderr_;
  const net::PartRequest request_;
  boost::asio::steady_timer timer_;
  std::string expected_;
  std::shared_ptr<net::WebSocket> stream_;
  std::unique_ptr<net::OpenBody> body_;
  bool answered_ = false;
};

// One that has not begun has written nothing, wherever.
bool has_begun(TaskState state) {
  return state != TaskState::pending && state != TaskState::assigning && state != TaskState::syncing;
}

}  // namespace

bool send_remote_output(const CallPtr& call, const store::TaskRecord& task, bool is_stderr, const net::PartRequest& request) {
  const auto node = call->services.nodes.find(task.node);
  if (!node || !node->link || !has_begun(task.state)) return false;
  boost::asio::post(call->services.loop, [call, task, is_stderr, request, link = node->link] {
    std::make_shared<RemoteOutput>(call, task, is_stderr, request)->ask(*link, task);
  });
  return true;
}

}  // namespace riverbox::api
