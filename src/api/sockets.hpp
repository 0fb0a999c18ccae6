// The WebSocket routes: terminals, followers of tasks, links and log streams of runners.
#pragma once
#include <variant>

#include "net/server.hpp"

namespace riverbox::api {

struct Services;

inline constexpr const char* kLinkProtocol = "riverbox.link.v1";
inline constexpr const char* kLogsProtocol = "riverbox.logs.v1";

// Loop thread. Checks Host, Origin and token before the 101 answer.
std::variant<net::Response, net::Accept> decide_upgrade(Services& services, const net::Request& request);

// link_session.cpp
void start_link(Services& services, std::shared_ptr<net::WebSocket> socket, std::string remote_address);
// attach_session.cpp
void start_attach(Services& services, std::shared_ptr<net::WebSocket> socket, const net::Request& request, const std::string& task_id);

}  // namespace riverbox::api
