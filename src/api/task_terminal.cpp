// A terminal in a running task (docs/terminal-protocol.md). The runner of its node serves it, on a stream that it dials; here messages are passed on between
// the two connections, whatever they say. Loop thread, except where said.
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "api/gate.hpp"
#include "api/services.hpp"
#include "api/sockets.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "config.h"
#include "terminal/relay.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMaxHeldBytes = 256 * 1024;              // towards one side: above this the other is not read
constexpr auto kDialPatience = std::chrono::seconds(10);  // for the runner

// Where the shell is to be opened.
struct TaskPlace {
  TaskId id;
  int attempt = 1;
  std::string node;
  std::shared_ptr<host::RunnerLink> link;
};

// Throws NotFound, Conflict or Unavailable: why there can be no terminal. State worker.
TaskPlace find_place(Services& services, const Identity& identity, const std::string& id) {
  const auto task = visible_task(services, identity, TaskId::parse(id));
  const auto node_name = printable(task.node);
  if (task.spec.runs_on_host())
    throw Conflict(fmt::format("task {} has no container, and a shell on a node itself is not given", id), "Log in to the node instead, as its administrators do.");
  if (task.state == TaskState::paused) throw Conflict(fmt::format("task {} is paused", id), fmt::format("Let it go on first: riverbox task resume {}.", id));
  if (task.state != TaskState::running)
    throw Conflict(fmt::format("task {} is not running (status: {})", id, to_string(task.state)), is_final(task.state) ? "" : fmt::format("This tells when it does: riverbox task watch {}.", id));
  const auto node = services.nodes.find(task.node);
  if (!node || !node->link || !node->online) throw Unavailable(fmt::format("task {} cannot be reached: its node {} is offline", id, node_name), "Try again when it is back: riverbox node list.");
  if (!node->description.terminals)
    throw Conflict(fmt::format("the runner of node {} is too old to open a terminal in a task (version {})", node_name, printable(node->description.version)),
                   "Install there the version of the host, " RIVERBOX_VERSION ", and start the runner again; its tasks go on meanwhile.");
  return {task.spec.id, task.spec.attempt, task.node, node->link};
}

class TaskTerminal : public std::enable_shared_from_this<TaskTerminal> {
public:
  TaskTerminal(const SocketCall& call, std::shared_ptr<net::WebSocket> client, terminal::RelayOptions options)
      : services_(call.services), identity_(call.identity), task_(call.parameters.at("id")), options_(std::move(options)), client_(std::move(client)), patience_(services_.loop) {}

  void start() {
    auto self = shared_from_this();
    client_->pause_reading();  // what it says is for the runner
    client_->start({.message = [self](std::string_view data, bool binary) { pass(*self->client_, self->runner_, data, binary); },
                    .closed = [self](std::uint16_t code, std::string_view reason) { self->client_closed(code, reason); },
                    .drained = [self] { if (self->runner_) self->runner_->resume_reading(); }});
    if (!services_.state.post([self] { self->look(); })) refuse(ErrorKind::unavailable, "the host is busy. Try again in a few seconds.");
  }

private:
  // State worker.
  void look() {
    auto refused = [self = shared_from_this()](ErrorKind kind, std::string why) { boost::asio::post(self->services_.loop, [self, kind, why = std::move(why)] { self->refuse(kind, why); }); };
    try {
      boost::asio::post(services_.loop, [self = shared_from_this(), place = find_place(services_, identity_, task_)] { self->ask(place); });
    } catch (const Error& error) {
      refused(error.kind(), error.what());
    } catch (const std::exception& error) {
      refused(ErrorKind::internal, error.what());
    }
  }

  void ask(const TaskPlace& place) {
    if (!client_) return;
    node_ = printable(place.node);
    expected_ = services_.broker.expect([self = shared_from_this()](std::shared_ptr<net::WebSocket> stream) { self->arrived(std::move(stream)); });
    patience_.expires_after(kDialPatience);
    patience_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->refuse(ErrorKind::timeout, fmt::format("node {} does not answer. Try again in a few seconds.", self->node_));
    });
    place.link->open_terminal(expected_, place.id, place.attempt, options_);
  }

  void arrived(std::shared_ptr<net::WebSocket> stream) {
    patience_.cancel();
    runner_ = std::move(stream);
    auto self = shared_from_this();
    runner_->start({.message = [self](std::string_view data, bool binary) { pass(*self->runner_, self->client_, data, binary); },
                    .closed = [self](std::uint16_t code, std::string_view reason) { self->runner_closed(code, reason); },
                    .drained = [self] { if (self->client_) self->client_->resume_reading(); }});
    if (!client_) return runner_->close(1001, "");
    client_->resume_reading();
  }

  // The windows of the protocol go from end to end; who does not keep to them is not read for as long as the other side does not take it.
  static void pass(net::WebSocket& from, const std::shared_ptr<net::WebSocket>& to, std::string_view data, bool binary) {
    if (!to) return;
    to->send(std::string(data), binary);
    if (to->queued_bytes() > kMaxHeldBytes) from.pause_reading();
  }

  void client_closed(std::uint16_t code, std::string_view reason) {
    client_.reset();
    settle();
    if (runner_) runner_->close(code == 1005 || code == 1006 ? 1001 : code, std::string(reason));
  }

  // The codes with which a terminal ends are passed on; the reason went before them. All others mean that it was lost.
  void runner_closed(std::uint16_t code, std::string_view reason) {
    runner_.reset();
    if (!client_) return;
    if (code == 1000 || code == 1002 || code == 1008 || code == 1011) return client_->close(code, std::string(reason));
    const auto why = reason.empty() ? "" : " (" + printable(reason) + ")";
    refuse(ErrorKind::unavailable, fmt::format("the connection to node {} was lost{}. Its tasks go on; open the terminal again when it is back.", node_, why));
  }

  void refuse(ErrorKind kind, const std::string& why) {
    settle();
    if (client_) terminal::refuse(*client_, options_.dialect, kind, why);
  }

  // Nobody is waited for any more.
  void settle() {
    patience_.cancel();
    services_.broker.forget(expected_);
  }

  Services& services_;
  const Identity identity_;
  const std::string task_;
  const terminal::RelayOptions options_;
  std::shared_ptr<net::WebSocket> client_, runner_;  // null: not there, or not any more
  std::string node_, expected_;
  boost::asio::steady_timer patience_;
};

}  // namespace

void start_task_terminal(const SocketCall& call, std::shared_ptr<net::WebSocket> socket, const terminal::RelayOptions& options) {
  std::make_shared<TaskTerminal>(call, std::move(socket), options)->start();
}

}  // namespace riverbox::api
