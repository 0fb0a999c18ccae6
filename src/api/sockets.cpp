#include "api/sockets.hpp"

#include <algorithm>

#include "api/route.hpp"
#include "api/services.hpp"
#include "base/strings.hpp"
#include "terminal/protocol.hpp"
#include "terminal/relay.hpp"

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

net::Accept terminal_of(Services& services, const net::Request& request, const std::string& name, bool kohaku) {
  bool ours = offers(request, terminal::kSubprotocol);
  auto dialect = ours ? terminal::Dialect::riverbox : kohaku ? terminal::Dialect::kohaku : terminal::Dialect::classic;
  auto options = relay_options(request, dialect);
  auto open = [&services, name](const terminal::OpenRequest& wanted) { return services.environments.open_shell(name, wanted); };
  return {ours ? std::string(terminal::kSubprotocol) : "", [&services, open, options](std::shared_ptr<net::WebSocket> socket) {
            terminal::start_relay(services.loop, services.terminals, std::move(socket), open, options);
          }};
}

// "/docker/host/containers/{name}/terminal" and the like: the parts between the fixed ones.
std::optional<std::string> parameter_of(const std::string& path, std::string_view before, std::string_view after) {
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
  auto middle = path.substr(before.size(), path.size() - before.size() - after.size());
  if (middle.find('/') != std::string::npos) return std::nullopt;
  return percent_decoded(middle);
}

}  // namespace

std::variant<net::Response, net::Accept> decide_upgrade(Services& services, const net::Request& request) {
  if (auto refusal = services.access.check_origin(request)) return *refusal;
  if (auto refusal = services.access.check_token(request)) return *refusal;

  for (std::string_view prefix : {"", "/ws", "/api"}) {
    auto name = parameter_of(request.path, std::string(prefix) + "/docker/host/containers/", "/terminal");
    if (name) return terminal_of(services, request, *name, !prefix.empty());
  }
  if (request.path == "/api/runner/link") {
    if (!offers(request, kLinkProtocol))
      return detail(400, "this runner speaks another version of the link protocol. Install the same riverbox version on host and runners.");
    return net::Accept{kLinkProtocol, [&services, from = request.remote_address](std::shared_ptr<net::WebSocket> socket) {
                         start_link(services, std::move(socket), from);
                       }};
  }
  if (auto stream = parameter_of(request.path, "/api/runner/stream/", "")) {
    auto arrival = services.broker.take(*stream);
    if (!arrival) return detail(404, "nobody waits for this stream");
    return net::Accept{offers(request, kLogsProtocol) ? kLogsProtocol : "", std::move(arrival)};
  }
  if (auto task = parameter_of(request.path, "/api/tasks/", "/attach"))
    return net::Accept{offers(request, kLogsProtocol) ? kLogsProtocol : "", [&services, request, id = *task](std::shared_ptr<net::WebSocket> socket) {
                         start_attach(services, std::move(socket), request, id);
                       }};
  return detail(404, "Not Found");
}

}  // namespace riverbox::api
