// A terminal in a running task (docs/terminal-protocol.md). The runner of its node serves it.
#include <fmt/format.h>

#include "api/handlers.hpp"
#include "api/task_stream.hpp"
#include "base/strings.hpp"
#include "terminal/relay.hpp"

namespace riverbox::api {
namespace {

void check_sessions(const TaskPlace& place) {
  if (!place.node.description.sessions) refuse_old_runner(place, "to share a terminal; riverbox task shell opens one that is not");
}

class TaskTerminal final : public TaskStream {
public:
  TaskTerminal(const SocketCall& call, std::shared_ptr<net::WebSocket> client, terminal::RelayOptions options) : TaskStream(call, std::move(client)), options_(std::move(options)) {}

private:
  void check(const TaskPlace& place) const override {
    if (!place.node.description.terminals) refuse_old_runner(place, "to open a terminal in a task");
    if (options_.session) check_sessions(place);
  }
  void ask(const TaskPlace& place, const std::string& stream) override { place.node.link->open_terminal(stream, place.id, place.attempt, options_); }
  void tell_refusal(net::WebSocket& client, ErrorKind kind, const std::string& why) override { terminal::refuse(client, options_.dialect, kind, why); }

  const terminal::RelayOptions options_;
};

}  // namespace

void start_task_terminal(const SocketCall& call, std::shared_ptr<net::WebSocket> socket, const terminal::RelayOptions& options) {
  std::make_shared<TaskTerminal>(call, std::move(socket), options)->start();
}

void list_sessions(CallPtr call) {
  const auto place = find_place(call->services, call->identity, TaskId::parse(call->parameter("id")));
  check_sessions(place);
  place.node.link->list_sessions(place.id, place.attempt, [call, node = printable(place.node.description.hostname)](const host::SessionList& list) {
    if (!list.ok) return call->responder->send(detail(502, fmt::format("node {} does not tell its sessions: {}", node, list.message)));
    Json out = Json::array();
    for (const auto& session : list.sessions)
      out.push_back({{"name", session.name}, {"since", session.since}, {"clients", session.clients}, {"watchers", session.watchers}, {"rows", session.rows}, {"cols", session.columns}});
    call->reply(out);
  });
}

}  // namespace riverbox::api
