// Who is at the other end of a connection, as far as the kernel knows.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace riverbox::net {

// The process at the other end of a unix socket, when it connected (SO_PEERCRED, SO_PEERGROUPS).
struct LocalUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // the others it is in
};

struct Peer {
  std::string address;               // "127.0.0.1:51234", "[::1]:51234", "unix:1000:2345" (user, process); "" when it has left already
  std::optional<LocalUser> user;
  std::string machine;               // what connections are counted by: the address, of IPv6 its /64; "": not counted (this machine)
};

Peer peer_of(int socket);

}  // namespace riverbox::net
