// Where a runner dials the streams that the host has asked for: output of tasks, and terminals in them.
#pragma once
#include <string>

#include "net/websocket.hpp"

namespace riverbox::runner {

struct StreamTarget {
  std::string host_url, token;
};
net::WebSocketRequest stream_request(const StreamTarget& target, const std::string& stream);

}  // namespace riverbox::runner
