#include "net/listener.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::net {
namespace fs = std::filesystem;
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr int kBacklog = 1024;  // the kernel cuts it to net.core.somaxconn

// Inodes of the sockets that listen on `port`, from /proc/net/tcp or tcp6: "sl local_address rem_address st ... inode".
void listening_inodes(const char* table, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  const std::string suffix = fmt::format(":{:04X}", port);
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    if (state == "0A" && local.ends_with(suffix)) inodes.insert("socket:[" + inode + "]");
  }
}

bool holds_one_of(const fs::path& process, const std::set<std::string>& inodes) {
  std::error_code ec;  // other users' processes cannot be looked into
  for (fs::directory_iterator fd(process / "fd", ec), end; !ec && fd != end; fd.increment(ec)) {
    std::error_code gone;
    if (inodes.contains(fs::read_symlink(fd->path(), gone).string())) return true;
  }
  return false;
}

[[noreturn]] void refuse(const std::string& address, std::uint16_t port, const boost::system::error_code& ec) {
  const std::string where = fmt::format("{}:{}", address, port);
  if (ec == asio::error::address_in_use) {
    auto owner = port_owner(port);
    throw Unavailable(fmt::format("port {} is in use{}", port, owner ? " by " + *owner : ""),
                      "Stop that program, or choose another port with network.host_port (RIVERBOX_NETWORK_HOST_PORT).");
  }
  if (ec == asio::error::access_denied)
    throw Unavailable(fmt::format("cannot listen on {}: permission denied", where),
                      port < 1024 ? "Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another with network.host_port (RIVERBOX_NETWORK_HOST_PORT)."
                                  : "Choose another port with network.host_port (RIVERBOX_NETWORK_HOST_PORT).");
  if (ec == boost::system::errc::address_not_available)
    throw Unavailable(fmt::format("cannot listen on {}: this machine has no such address", where),
                      "Set network.host_bind_ip to an address of this machine, or to 0.0.0.0 for all of them.");
  throw Unavailable(fmt::format("cannot listen on {}: {}", where, ec.message()), "Check network.host_bind_ip and network.host_port.");
}

asio::ip::address parse_address(const std::string& text) {
  if (text == "localhost") return asio::ip::address_v4::loopback();
  boost::system::error_code ec;
  auto address = asio::ip::make_address(text.starts_with('[') && text.ends_with(']') ? text.substr(1, text.size() - 2) : text, ec);
  if (ec)
    throw InvalidInput(fmt::format("cannot listen on \"{}\": it is not an IP address", printable(text)),
                       "Set network.host_bind_ip to an address such as 127.0.0.1, or to 0.0.0.0 for all of this machine.");
  return address;
}

Listener adopt_listener(asio::io_context& loop, int fd) {
  int family = AF_UNSPEC;
  socklen_t size = sizeof family;
  ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return Listener(loop, asio::generic::stream_protocol(family, IPPROTO_TCP), fd);
}

}  // namespace

std::optional<std::string> port_owner(std::uint16_t port) {
  std::set<std::string> inodes;
  listening_inodes("/proc/net/tcp", port, inodes);
  listening_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return std::nullopt;
  std::error_code ec;
  for (fs::directory_iterator process("/proc", ec), end; !ec && process != end; process.increment(ec)) {
    const std::string pid = process->path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos || !holds_one_of(process->path(), inodes)) continue;
    std::string name;
    std::ifstream comm(process->path() / "comm");
    std::getline(comm, name);
    return pid == std::to_string(getpid()) ? "this process" : fmt::format("{} (pid {})", printable(name), pid);
  }
  return std::nullopt;
}

Listener open_listener(asio::io_context& loop, const std::string& address, std::uint16_t port, int inherited) {
  if (inherited >= 0) return adopt_listener(loop, inherited);
  const tcp::endpoint endpoint(parse_address(address), port);
  Listener listener(loop);
  boost::system::error_code ec;
  listener.open(endpoint.protocol(), ec);
  // A restarted host must get its port back although old connections are still in TIME_WAIT.
  if (!ec) listener.set_option(Listener::reuse_address(true), ec);
  if (!ec && endpoint.address().is_v6()) listener.set_option(asio::ip::v6_only(false), ec);
  if (!ec) listener.bind(endpoint, ec);
  if (!ec) listener.listen(kBacklog, ec);
  if (ec) refuse(address, port, ec);
  return listener;
}

Listener open_unix_listener(asio::io_context& loop, const fs::path& path) {
  const auto fail = [&](const std::string& why) {
    throw Unavailable(fmt::format("cannot listen on the unix socket {}: {}", path.string(), why), "Set network.unix_socket to another path, or to \"none\".");
  };
  if (path.native().size() >= sizeof(sockaddr_un::sun_path)) fail("the path is longer than the kernel takes");
  const asio::local::stream_protocol::endpoint endpoint(path.native());
  boost::system::error_code ec, nobody;
  asio::local::stream_protocol::socket probe(loop);
  probe.connect(endpoint, nobody);
  if (!nobody) fail("somebody listens there already");
  struct stat there {};
  if (nobody == asio::error::connection_refused && ::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) fail("something else than a socket lies there");
    ::unlink(path.c_str());
  }
  Listener listener(loop);
  listener.open(endpoint.protocol(), ec);
  if (!ec) listener.bind(endpoint, ec);
  if (!ec && ::fchmodat(AT_FDCWD, path.c_str(), 0666, AT_SYMLINK_NOFOLLOW) != 0) ec.assign(errno, boost::system::system_category());
  if (!ec) listener.listen(kBacklog, ec);
  if (ec) fail(ec.message());
  return listener;
}

std::uint16_t port_of(const Listener& listener) {
  const auto endpoint = listener.local_endpoint();
  const auto* address = reinterpret_cast<const sockaddr*>(endpoint.data());
  if (address->sa_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  if (address->sa_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  return 0;
}

}  // namespace riverbox::net
