// The WebSocket routes: terminals, followers of tasks, links and log streams of runners.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/identity.hpp"
#include "net/server.hpp"
#include "terminal/shell.hpp"

namespace riverbox::api {

struct Services;

inline constexpr const char* kLinkProtocol = "riverbox.link.v1";
inline constexpr const char* kLogsProtocol = "riverbox.logs.v1";

// One request for a WebSocket.
struct SocketCall {
  Services& services;
  net::Request request;
  std::map<std::string, std::string> parameters;  // {name} parts of the pattern, percent-decoded
  Identity identity;  // of the one who asks
};
using UpgradeDecision = std::variant<net::Response, net::Accept>;

struct SocketRoute {
  const char* pattern;
  Access access;
  UpgradeDecision (*open)(SocketCall);
  const char* summary;
  bool opens_shell = false;  // then the log notes who asked
};
const std::vector<SocketRoute>& socket_routes();

// Loop thread. Checks Host, Origin and who asks before the 101 answer.
UpgradeDecision decide_upgrade(Services& services, const net::Request& request);

// link_session.cpp
void start_link(const SocketCall& call, std::shared_ptr<net::WebSocket> socket);
// attach_session.cpp
void start_attach(const SocketCall& call, std::shared_ptr<net::WebSocket> socket);
// task_terminal.cpp
void start_task_terminal(const SocketCall& call, std::shared_ptr<net::WebSocket> socket, const terminal::RelayOptions& options);

// task_forward.cpp
void start_task_forward(const SocketCall& call, std::shared_ptr<net::WebSocket> socket);

}  // namespace riverbox::api
