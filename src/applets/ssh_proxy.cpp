#include "applets/ssh_proxy.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include "applets/exit_codes.hpp"
#include "base/config.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kConnects{15}, kAnswers{10};
constexpr size_t kMaxAnswer = 1024;

bool wait_for(int fd, short what, Clock::time_point until) {
  pollfd one{fd, what, 0};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    const int ready = ::poll(&one, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// 0, or why not.
int connect_within(int fd, const addrinfo& where, Clock::time_point until) {
  if (::connect(fd, where.ai_addr, where.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!wait_for(fd, POLLOUT, until)) return ETIMEDOUT;
  int failed = 0;
  socklen_t size = sizeof failed;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
  return failed;
}

os::UniqueFd connect_to(const std::string& address, std::uint16_t port) {
  const std::string shown = authority_of(address, port);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0)
    throw Unavailable("cannot find the SSH proxy at " + shown + ": " + ::gai_strerror(error), "Check the address of the host: riverbox config show.");
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
  int failed = 0;
  for (const addrinfo* one = found; one; one = one->ai_next) {
    os::UniqueFd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    failed = fd ? connect_within(fd.get(), *one, Clock::now() + kConnects) : errno;
    if (failed == 0) return fd;
  }
  throw Unavailable("cannot connect to the SSH proxy at " + shown + ": " + std::strerror(failed), "Does the host run, and is host_ssh_proxy_port right? riverbox config show.");
}

// Byte by byte: what follows the line is the SSH server's.
std::string read_line(int fd) {
  std::string line;
  for (const auto until = Clock::now() + kAnswers; line.size() < kMaxAnswer;) {
    char next = 0;
    const ssize_t size = ::recv(fd, &next, 1, 0);
    if (size == 0) throw Unavailable("the SSH proxy has hung up");
    if (size == 1 && next == '\n') return line;
    if (size == 1) line += next;
    else if (errno != EAGAIN && errno != EINTR) throw Unavailable("the SSH proxy: " + std::string(std::strerror(errno)));
    else if (!wait_for(fd, POLLIN, until)) throw Timeout("the SSH proxy does not answer");
  }
  throw BadData("the SSH proxy answered with too long a line");
}

}  // namespace

void check_proxy_answer(std::string_view line) {
  line = trim(line);
  if (line == "SUCCESS") return;
  // The second is what HakuRiver's host really sends.
  for (const std::string_view spelling : {"ERROR ", "b'ERROR '"})
    if (line.starts_with(spelling)) throw HostRefusal(0, printable(std::string(line.substr(spelling.size())), 500));
  throw BadData("the SSH proxy answered with '" + printable(std::string(line), 100) + "'", "Is it a riverbox or HakuRiver host that listens there?");
}

os::UniqueFd dial_ssh_proxy(const std::string& address, std::uint16_t port, const std::string& id, const std::string& token) {
  os::UniqueFd fd = connect_to(address, port);
  const std::string request = "REQUEST_TUNNEL " + id + (token.empty() ? "" : " " + token) + "\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) throw Unavailable("the SSH proxy has hung up");
  check_proxy_answer(read_line(fd.get()));
  return fd;
}

}  // namespace riverbox::applets
