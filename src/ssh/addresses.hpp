// Addresses of TCP as text, and sockets for them. What is opened here does not block.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "os/fd.hpp"

namespace riverbox::ssh {

struct Endpoint {
  std::string host;  // numeric, without brackets
  std::uint16_t port = 0;
};

bool is_numeric(const std::string& host);
// By DNS and /etc/hosts: may take many seconds. Empty: there is none.
std::vector<std::string> resolve(const std::string& host);
// "127.0.0.1:22", "[::1]:2222". Throws InvalidInput.
Endpoint parse_endpoint(const std::string& text);
// Throws IoError. Port 0: any; `bound` tells which.
os::UniqueFd listen_on(const Endpoint& where, std::uint16_t* bound = nullptr);
// On the way; poll(2) for writing tells when SO_ERROR says how it went. None: it failed at once.
os::UniqueFd start_connecting(const std::string& numeric, std::uint16_t port);
// The same for what is on this machine, after a moment in which it may have failed; `refused`: it has, so that a client can be told. None and not refused: it is elsewhere.
os::UniqueFd connect_here(const std::string& host, std::uint16_t port, bool& refused);
// Of getpeername(2) and getsockname(2); without a host: it is no TCP socket.
Endpoint peer_of(int fd);
Endpoint own_end_of(int fd);

}  // namespace riverbox::ssh
