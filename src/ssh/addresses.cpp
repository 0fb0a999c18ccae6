#include "ssh/addresses.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::ssh {
namespace {

constexpr int kBacklog = 128, kMomentMs = 100;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return nullptr;
  return Addresses(list);
}

std::string text_of(const sockaddr* address, socklen_t size, std::uint16_t* port = nullptr) {
  char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
  if (::getnameinfo(address, size, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0) return {};
  if (port) *port = static_cast<std::uint16_t>(parse_u64(service).value_or(0));
  const std::string text = host;
  return text.starts_with("::ffff:") ? text.substr(7) : text;
}

Endpoint end_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  Endpoint end;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 && (address.ss_family == AF_INET || address.ss_family == AF_INET6))
    end.host = text_of(reinterpret_cast<sockaddr*>(&address), size, &end.port);
  return end;
}

}  // namespace

bool is_numeric(const std::string& host) { return look_up(host, 0, AI_NUMERICHOST) != nullptr; }

std::vector<std::string> resolve(const std::string& host) {
  std::vector<std::string> all;
  const Addresses list = look_up(host, 0, AI_ADDRCONFIG);
  for (const addrinfo* one = list.get(); one; one = one->ai_next) all.push_back(text_of(one->ai_addr, one->ai_addrlen));
  return all;
}

Endpoint parse_endpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos) host.clear();
  const auto port = parse_u64(colon == std::string::npos ? "" : text.substr(colon + 1));
  if (!port || *port > 65535 || !is_numeric(host)) throw InvalidInput("'" + printable(text, 100) + "' is no address and port", "It looks like 127.0.0.1:22 or [::1]:22.");
  return {host, static_cast<std::uint16_t>(*port)};
}

os::UniqueFd listen_on(const Endpoint& where, std::uint16_t* bound) {
  const std::string action = "listen on " + where.host + " port " + std::to_string(where.port);
  const Addresses list = look_up(where.host, where.port, AI_NUMERICHOST);
  if (!list) throw IoError(action, EADDRNOTAVAIL);
  os::UniqueFd fd(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw IoError(action, errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), list->ai_addr, list->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) throw IoError(action, errno);
  if (bound) *bound = own_end_of(fd.get()).port;
  return fd;
}

os::UniqueFd start_connecting(const std::string& numeric, std::uint16_t port) {
  const Addresses list = look_up(numeric, port, AI_NUMERICHOST);
  if (!list) return {};
  os::UniqueFd fd(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd && ::connect(fd.get(), list->ai_addr, list->ai_addrlen) != 0 && errno != EINPROGRESS) fd.reset();
  return fd;
}

os::UniqueFd connect_here(const std::string& host, std::uint16_t port, bool& refused) {
  std::vector<std::string> here;
  if (host == "localhost") here = {"127.0.0.1", "::1"};
  else if (host == "::1" || (host.starts_with("127.") && is_numeric(host))) here = {host};
  refused = !here.empty();
  for (const std::string& address : here) {
    os::UniqueFd fd = start_connecting(address, port);
    pollfd wait{fd.get(), POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    const bool known = fd && ::poll(&wait, 1, kMomentMs) == 1 && ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0;
    refused = !fd || (known && error != 0);
    if (!refused) return fd;
  }
  return {};
}

Endpoint peer_of(int fd) { return end_of(fd, [](int s, sockaddr* a, socklen_t* n) { return ::getpeername(s, a, n); }); }
Endpoint own_end_of(int fd) { return end_of(fd, [](int s, sockaddr* a, socklen_t* n) { return ::getsockname(s, a, n); }); }

}  // namespace riverbox::ssh
