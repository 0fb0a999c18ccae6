#include "api/task_stream.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "api/gate.hpp"
#include "base/strings.hpp"
#include "config.h"

namespace riverbox::api {
namespace {

constexpr size_t kMaxHeldBytes = 256 * 1024;              // towards one side: above this the other is not read
constexpr auto kDialPatience = std::chrono::seconds(10);  // for the runner

}  // namespace

TaskPlace find_place(Services& services, const Identity& identity, TaskId task_id) {
  const auto task = visible_task(services, identity, task_id);
  const auto id = task_id.str(), node_name = printable(task.node);
  if (task.spec.runs_on_host())
    throw Conflict(fmt::format("task {} has no container, and a shell on a node itself is not given", id), "Log in to the node instead, as its administrators do.");
  if (task.state == TaskState::paused) throw Conflict(fmt::format("task {} is paused", id), fmt::format("Let it go on first: riverbox task resume {}.", id));
  if (task.state != TaskState::running)
    throw Conflict(fmt::format("task {} is not running (status: {})", id, to_string(task.state)), is_final(task.state) ? "" : fmt::format("This tells when it does: riverbox task watch {}.", id));
  auto node = services.nodes.find(task.node);
  if (!node || !node->link || !node->online) throw Unavailable(fmt::format("task {} cannot be reached: its node {} is offline", id, node_name), "Try again when it is back: riverbox node list.");
  return {task.spec.id, task.spec.attempt, std::move(*node)};
}

void refuse_old_runner(const TaskPlace& place, const char* what) {
  const auto& runner = place.node.description;
  throw Conflict(fmt::format("the runner of node {} is too old {} (version {})", printable(runner.hostname), what, printable(runner.version)),
                 "Install there the version of the host, " RIVERBOX_VERSION ", and start the runner again; its tasks go on meanwhile.");
}

void StreamWish::make(const std::string& node, const std::function<void(const std::string&)>& ask, std::function<void(std::shared_ptr<net::WebSocket>)> arrived,
                      std::function<void(const std::string&)> failed) {
  expected_ = services_.broker.expect([self = shared_from_this(), arrived = std::move(arrived)](std::shared_ptr<net::WebSocket> stream) {
    self->patience_.cancel();
    arrived(std::move(stream));
  });
  patience_.expires_after(kDialPatience);
  patience_.async_wait([self = shared_from_this(), node = printable(node), failed = std::move(failed)](const boost::system::error_code& error) {
    if (error) return;
    self->forget();
    failed(fmt::format("node {} does not answer. Try again in a few seconds.", node));
  });
  ask(expected_);
}

void StreamWish::forget() {
  patience_.cancel();
  services_.broker.forget(expected_);
}

TaskStream::TaskStream(const SocketCall& call, std::shared_ptr<net::WebSocket> client)
    : services_(call.services), identity_(call.identity), task_(call.parameters.at("id")), client_(std::move(client)), wish_(std::make_shared<StreamWish>(call.services)) {}

void TaskStream::start() {
  auto self = shared_from_this();
  client_->pause_reading();  // what it says is for the runner
  client_->start({.message = [self](std::string_view data, bool binary) { pass(*self->client_, self->runner_, data, binary); },
                  .closed = [self](std::uint16_t code, std::string_view reason) { self->client_closed(code, reason); },
                  .drained = [self] { if (self->runner_) self->runner_->resume_reading(); }});
  if (!services_.state.post([self] { self->look(); })) refuse(ErrorKind::unavailable, "the host is busy. Try again in a few seconds.");
}

// State worker.
void TaskStream::look() {
  auto refused = [self = shared_from_this()](ErrorKind kind, std::string why) { boost::asio::post(self->services_.loop, [self, kind, why = std::move(why)] { self->refuse(kind, why); }); };
  try {
    auto place = find_place(services_, identity_, TaskId::parse(task_));
    check(place);
    boost::asio::post(services_.loop, [self = shared_from_this(), place = std::move(place)] { self->dial(place); });
  } catch (const Error& error) {
    refused(error.kind(), error.what());
  } catch (const std::exception& error) {
    refused(ErrorKind::internal, error.what());
  }
}

void TaskStream::dial(const TaskPlace& place) {
  if (!client_) return;
  node_ = printable(place.node.description.hostname);
  wish_->make(place.node.description.hostname, [&](const std::string& stream) { ask(place, stream); }, [self = shared_from_this()](std::shared_ptr<net::WebSocket> stream) { self->arrived(std::move(stream)); },
              [self = shared_from_this()](const std::string& why) { self->refuse(ErrorKind::timeout, why); });
}

void TaskStream::arrived(std::shared_ptr<net::WebSocket> stream) {
  runner_ = std::move(stream);
  auto self = shared_from_this();
  runner_->start({.message = [self](std::string_view data, bool binary) { pass(*self->runner_, self->client_, data, binary); },
                  .closed = [self](std::uint16_t code, std::string_view reason) { self->runner_closed(code, reason); },
                  .drained = [self] { if (self->client_) self->client_->resume_reading(); }});
  if (!client_) return runner_->close(1001, "");
  tell_begin(*client_);
  client_->resume_reading();
}

// The windows of the protocols go from end to end; who does not keep to them is not read for as long as the other side does not take it.
void TaskStream::pass(net::WebSocket& from, const std::shared_ptr<net::WebSocket>& to, std::string_view data, bool binary) {
  if (!to) return;
  to->send(std::string(data), binary);
  if (to->queued_bytes() > kMaxHeldBytes) from.pause_reading();
}

void TaskStream::client_closed(std::uint16_t code, std::string_view reason) {
  client_.reset();
  wish_->forget();
  if (runner_) runner_->close(code == 1005 || code == 1006 ? 1001 : code, std::string(reason));
}

// The codes with which a stream ends are passed on; the reason went before them. All others mean that it was lost.
void TaskStream::runner_closed(std::uint16_t code, std::string_view reason) {
  runner_.reset();
  if (!client_) return;
  if (code == 1000 || code == 1002 || code == 1008 || code == 1011) return client_->close(code, std::string(reason));
  const auto why = reason.empty() ? "" : " (" + printable(reason) + ")";
  refuse(ErrorKind::unavailable, fmt::format("the connection to node {} was lost{}. Its tasks go on; try again when it is back.", node_, why));
}

void TaskStream::refuse(ErrorKind kind, const std::string& why) {
  wish_->forget();  // nobody waits any more
  if (client_) tell_refusal(*client_, kind, why);
}

}  // namespace riverbox::api
