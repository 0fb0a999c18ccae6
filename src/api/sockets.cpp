#include "api/sockets.hpp"

#include <algorithm>

#include "api/gate.hpp"
#include "api/route.hpp"
#include "api/services.hpp"
#include "api/trace.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "terminal/protocol.hpp"
#include "terminal/relay.hpp"
#include "tunnel/frames.hpp"

namespace riverbox::api {
namespace {

bool offers(const net::Request& request, std::string_view protocol) {
  auto offered = request.header("sec-websocket-protocol");
  if (!offered) return false;
  auto list = split(*offered, ',');
  return std::any_of(list.begin(), list.end(), [&](const std::string& p) { return trim(p) == protocol; });
}

std::uint16_t small_number(const net::Request& request, const char* key, std::uint16_t otherwise) {
  auto it = request.query.find(key);
  auto number = it == request.query.end() ? std::nullopt : parse_u64(it->second);
  return number && *number > 0 && *number <= 4096 ? static_cast<std::uint16_t>(*number) : otherwise;
}

// What a client may set in the environment of its shell: nothing that changes which code runs.
bool may_set(std::string_view variable) {
  return variable == "TERM" || variable == "COLORTERM" || variable == "LANG" || variable == "TZ" || variable.starts_with("LC_");
}

terminal::RelayOptions relay_options(const net::Request& request, terminal::Dialect dialect) {
  terminal::RelayOptions options;
  options.dialect = dialect;
  auto tty = request.query.find("tty");
  options.open.tty = tty == request.query.end() || tty->second != "0";
  options.open.rows = small_number(request, "rows", 24);
  options.open.columns = small_number(request, "cols", 80);
  options.open.env["TERM"] = "xterm-256color";
  for (const auto& [key, value] : request.query)
    if (key.starts_with("env.") && may_set(key.substr(4)) && value.size() < 256) options.open.env[key.substr(4)] = value;
  return options;
}

std::optional<terminal::SessionWish> session_wish(const net::Request& request) {
  const auto given = [&](const char* key) {
    const auto it = request.query.find(key);
    return it == request.query.end() ? std::nullopt : std::optional(it->second);
  };
  const auto name = given("session");
  if (!name) return std::nullopt;
  terminal::SessionWish wish{.name = terminal::SessionName::parse(*name), .watch = given("watch").value_or("0") != "0", .fresh = given("new").value_or("0") != "0"};
  if (const auto place = given("resume")) wish.resume = terminal::SessionPlace::parse(*place);
  return wish;
}

// In our own dialect for who offers it, else in `otherwise`.
UpgradeDecision accept_terminal(const SocketCall& call, terminal::Dialect otherwise, void (*start)(const SocketCall&, std::shared_ptr<net::WebSocket>, const terminal::RelayOptions&),
                                std::optional<terminal::SessionWish> session = {}) {
  const bool ours = offers(call.request, terminal::kSubprotocol);
  auto options = relay_options(call.request, ours ? terminal::Dialect::riverbox : otherwise);
  options.session = std::move(session);
  return net::Accept{ours ? std::string(terminal::kSubprotocol) : "", [call, options, start](std::shared_ptr<net::WebSocket> socket) { start(call, std::move(socket), options); }};
}

void start_environment_terminal(const SocketCall& call, std::shared_ptr<net::WebSocket> socket, const terminal::RelayOptions& options) {
  auto& services = call.services;
  auto open = [&services, name = call.parameters.at("name")](const terminal::OpenRequest& wanted) { return services.environments.open_shell(name, wanted); };
  terminal::start_relay(services.loop, services.terminals, std::move(socket), open, options);
}

UpgradeDecision classic_terminal(SocketCall call) { return accept_terminal(call, terminal::Dialect::classic, start_environment_terminal); }
UpgradeDecision terminal(SocketCall call) { return accept_terminal(call, terminal::Dialect::kohaku, start_environment_terminal); }

UpgradeDecision task_terminal(SocketCall call) {
  try {
    return accept_terminal(call, terminal::Dialect::kohaku, start_task_terminal, session_wish(call.request));
  } catch (const InvalidInput& error) {
    return detail(400, error.what());
  }
}

UpgradeDecision task_forward(SocketCall call) {
  const bool ours = offers(call.request, tunnel::kSubprotocol);
  return net::Accept{ours ? std::string(tunnel::kSubprotocol) : "", [call](std::shared_ptr<net::WebSocket> socket) { start_task_forward(call, std::move(socket)); }};
}

UpgradeDecision runner_link(SocketCall call) {
  if (!offers(call.request, kLinkProtocol))
    return detail(400, "this runner speaks another version of the link protocol. Install the same riverbox version on host and runners.");
  return net::Accept{kLinkProtocol, [call](std::shared_ptr<net::WebSocket> socket) { start_link(call, std::move(socket)); }};
}

UpgradeDecision runner_stream(SocketCall call) {
  auto arrival = call.services.broker.take(call.parameters.at("stream"));
  if (!arrival) return detail(404, "nobody waits for this stream");
  return net::Accept{offers(call.request, kLogsProtocol) ? kLogsProtocol : "", std::move(arrival)};
}

UpgradeDecision attach(SocketCall call) {
  return net::Accept{offers(call.request, kLogsProtocol) ? kLogsProtocol : "", [call](std::shared_ptr<net::WebSocket> socket) { start_attach(call, std::move(socket)); }};
}

// The key of a connection into a task, which may be a VPS of somebody else; "": it leads into none.
std::string key_for(const Identity& identity, const std::map<std::string, std::string>& parameters) {
  try {
    const auto id = parameters.find("id");
    return id == parameters.end() ? "" : guest_key(identity.name, TaskId::parse(id->second));
  } catch (const InvalidInput&) {
    return "";  // which the route refuses
  }
}

// A connection that ends with the token it was let in with, or with the sharing of the VPS that it leads into: known before anybody looks whether it is shared.
std::function<void(std::shared_ptr<net::WebSocket>)> ending_with(Services& services, const std::string& token_id, const std::string& guest_key, std::function<void(std::shared_ptr<net::WebSocket>)> opened) {
  return [&services, token_id, guest_key, opened = std::move(opened)](std::shared_ptr<net::WebSocket> socket) {
    const std::weak_ptr<net::WebSocket> weak = socket;
    services.vps_guests.add(guest_key, socket, [](net::WebSocket& cut) { cut.close(1008, "this VPS is not shared with you any more"); });
    opened(std::move(socket));
    if (const auto alive = weak.lock())
      services.guests.add(token_id, alive, [](net::WebSocket& cut) { cut.close(1008, "the token of this connection is not valid any more"); });
  };
}

// What is done for the socket from its opening on is done for this request; the answer tells its id.
void mark(UpgradeDecision& decision, const std::string& id) {
  if (auto* refusal = std::get_if<net::Response>(&decision)) return void(refusal->headers.emplace_back(kRequestIdHeader, id));
  auto& accept = std::get<net::Accept>(decision);
  accept.headers.emplace_back(kRequestIdHeader, id);
  accept.opened = [context = log::context(), opened = std::move(accept.opened)](std::shared_ptr<net::WebSocket> socket) {
    const log::Scope scope(context);
    opened(std::move(socket));
  };
}

UpgradeDecision decide(Services& services, const net::Request& request) {
  if (auto refusal = services.access.check_origin(request)) return *refusal;
  const auto path = split(request.path, '/');
  for (const auto& route : socket_routes()) {
    auto parameters = parameters_of(split(route.pattern, '/'), path);
    if (!parameters) continue;
    auto admitted = admit(services, request, route.access);
    if (auto* refusal = std::get_if<net::Response>(&admitted)) return std::move(*refusal);
    if (route.opens_shell) audit(std::get<Identity>(admitted), request);
    const std::string token_id = std::get<Identity>(admitted).token_id, key = key_for(std::get<Identity>(admitted), *parameters);
    auto decision = route.open({services, request, std::move(*parameters), std::get<Identity>(std::move(admitted))});
    if (auto* accepted = std::get_if<net::Accept>(&decision)) accepted->opened = ending_with(services, token_id, key, std::move(accepted->opened));
    return decision;
  }
  return detail(404, "Not Found");
}

}  // namespace

const std::vector<SocketRoute>& socket_routes() {
  static const std::vector<SocketRoute> table{
      {"/docker/host/containers/{name}/terminal", Access::operator_, classic_terminal, "Terminal in an environment container, classic dialect", true},
      {"/ws/docker/host/containers/{name}/terminal", Access::operator_, terminal, "Terminal in an environment container (older path)", true},
      {"/api/docker/host/containers/{name}/terminal", Access::operator_, terminal, "Terminal in an environment container", true},
      {"/api/tasks/{id}/terminal", Access::user, task_terminal, "Terminal in a running task", true},
      {"/ws/task/{id}/terminal", Access::user, task_terminal, "Terminal in a running task (KohakuRiver's path)", true},
      {"/api/ws/task/{id}/terminal", Access::user, task_terminal, "Terminal in a running task (KohakuRiver's path)", true},
      {"/api/tasks/{id}/forward", Access::user, task_forward, "Ports of a running task", true},
      {"/ws/forward/{id}/{port}", Access::user, task_forward, "Ports of a running task (KohakuRiver's path)", true},
      {"/api/ws/forward/{id}/{port}", Access::user, task_forward, "Ports of a running task (KohakuRiver's path)", true},
      {"/api/tasks/{id}/attach", Access::user, attach, "States and output of a task as they come"},
      {"/api/runner/link", Access::node, runner_link, "The link of a runner"},
      {"/api/runner/stream/{stream}", Access::node, runner_stream, "Output or a terminal that a runner was asked for"},
  };
  return table;
}

UpgradeDecision decide_upgrade(Services& services, const net::Request& request) {
  const auto id = request_id(request);
  const log::Scope scope("request", id);
  auto decision = decide(services, request);
  const auto* refusal = std::get_if<net::Response>(&decision);
  log_request(request, refusal ? refusal->status : 101, 0);
  mark(decision, id);
  return decision;
}

}  // namespace riverbox::api
