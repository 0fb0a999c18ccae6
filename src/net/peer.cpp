#include "net/peer.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace riverbox::net {
namespace {

constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX

std::vector<gid_t> groups_of(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const bool got = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0;
    if (!got && errno == ERANGE && groups.size() < kMaxGroups) {
      groups.resize(size / sizeof(gid_t));
      continue;
    }
    groups.resize(got ? size / sizeof(gid_t) : 0);
    return groups;
  }
}

Peer local_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
  return {fmt::format("unix:{}:{}", credentials.uid, credentials.pid), LocalUser{credentials.uid, credentials.gid, groups_of(socket)}, ""};
}

Peer ipv4_peer(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  const bool is_loopback = ntohl(address.sin_addr.s_addr) >> 24 == 127;
  return {fmt::format("{}:{}", text, ntohs(address.sin_port)), {}, is_loopback ? "" : text};
}

Peer ipv6_peer(const sockaddr_in6& address) {
  char text[INET6_ADDRSTRLEN] = "", network[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
  in6_addr prefix = address.sin6_addr;
  const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&prefix);
  if (!is_v4) std::memset(prefix.s6_addr + 8, 0, 8);
  inet_ntop(AF_INET6, &prefix, network, sizeof network);
  const bool is_loopback = IN6_IS_ADDR_LOOPBACK(&address.sin6_addr) || (is_v4 && prefix.s6_addr[12] == 127);
  return {fmt::format("[{}]:{}", text, ntohs(address.sin6_port)), {}, is_loopback ? "" : network};
}

}  // namespace

Peer peer_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  switch (address.ss_family) {
    case AF_UNIX: return local_peer(socket);
    case AF_INET: return ipv4_peer(reinterpret_cast<const sockaddr_in&>(address));
    case AF_INET6: return ipv6_peer(reinterpret_cast<const sockaddr_in6&>(address));
    default: return {};
  }
}

}  // namespace riverbox::net
