#include "os/inherited_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::os {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START

[[noreturn]] void refuse_socket(const std::string& why) {
  throw ConfigError("cannot serve on the socket that was passed ($LISTEN_FDS): " + why,
                    "In riverbox-host.socket write one ListenStream= line, such as ListenStream=8000, and no Accept=yes.");
}

int option_of(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) refuse_socket("descriptor 3 is no socket");
  return value;
}

void name_it(InheritedSocket& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) refuse_socket("it has no address");
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    socket.address = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    socket.port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    socket.address = ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    socket.port = ntohs(v6.sin6_port);
  } else {
    refuse_socket("it is not TCP");
  }
}

}  // namespace

std::optional<InheritedSocket> inherited_socket() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* number = std::getenv("LISTEN_FDS");
  const bool ours = pid && number && parse_i64(pid) == static_cast<long long>(::getpid());
  const std::optional<unsigned long long> count = ours ? parse_u64(number) : 0ull;
  for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(variable);
  if (count == 0) return std::nullopt;
  if (count != 1) refuse_socket(count ? std::to_string(*count) + " were passed, and it is one that is wanted" : "it does not say how many");
  InheritedSocket socket;
  socket.fd.reset(kFirst);
  if (option_of(kFirst, SO_TYPE) != SOCK_STREAM) refuse_socket("it is no stream socket");
  if (!option_of(kFirst, SO_ACCEPTCONN)) refuse_socket("it does not listen");
  name_it(socket);
  ::fcntl(kFirst, F_SETFD, FD_CLOEXEC);
  return socket;
}

}  // namespace riverbox::os
