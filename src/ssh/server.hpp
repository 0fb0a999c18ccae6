// The server: waits for connections and gives each a process of its own.
#pragma once
#include <optional>

#include "ssh/addresses.hpp"
#include "ssh/connection.hpp"

namespace riverbox::ssh {

// Until SIGTERM or SIGINT: then nobody new is let in, and connections that there are stay. At most `max_connections` at a time. The caller must have no other threads.
void listen_and_serve(const Endpoint& where, size_t max_connections, const Settings& settings, const HostKey& host_key);
// One connection on stdin and stdout, which may be one socket (inetd) or two pipes (docker exec -i).
void serve_stdio(const Settings& settings, const HostKey& host_key);

}  // namespace riverbox::ssh
