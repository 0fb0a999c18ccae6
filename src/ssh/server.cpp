#include "ssh/server.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/child.hpp"

namespace riverbox::ssh {
namespace {

constexpr std::chrono::milliseconds kPause{200};

os::UniqueFd end_signals() {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&mask, signal);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  os::UniqueFd fd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw IoError("watch signals", errno);
  return fd;
}

bool is_socket(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

// One way of a connection over pipes. Blocks while it writes: the other end always reads, or is gone.
struct Way {
  int from, to;
  bool open = true;
  // False: it is over.
  bool move() {
    char piece[32 << 10];
    const ssize_t n = ::read(from, piece, sizeof piece);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) return false;
    for (ssize_t done = 0; done < n;) {
      const ssize_t m = ::write(to, piece + done, static_cast<size_t>(n - done));
      if (m < 0 && errno == EINTR) continue;
      if (m < 0) return false;
      done += m;
    }
    return true;
  }
};

}  // namespace

void listen_and_serve(const Endpoint& where, size_t max_connections, const Settings& settings, const HostKey& host_key) {
  const os::UniqueFd signals = end_signals();
  os::ChildWatch children;
  Endpoint bound = where;
  const os::UniqueFd listener = listen_on(where, &bound.port);
  log::info("ssh", "listening", {{"address", bound.host}, {"port", std::to_string(bound.port)}, {"host_key", host_key.fingerprint}, {"path", host_key.path.string()}});
  if (settings.rules.no_auth) log::warning("ssh", "whoever can connect is let in (--no-auth)");
  std::set<pid_t> connections;
  for (;;) {
    const bool room = connections.size() < max_connections;  // who comes too early waits in the listener's queue
    pollfd fds[3] = {{signals.get(), POLLIN, 0}, {children.fd(), POLLIN, 0}, {room ? listener.get() : -1, POLLIN, 0}};
    if (::poll(fds, 3, -1) < 0 && errno != EINTR) throw IoError("wait for connections", errno);
    if (fds[0].revents) return;
    for (const auto& [pid, status] : children.ended()) connections.erase(pid);
    if (!fds[2].revents) continue;
    os::UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket && errno != EAGAIN && errno != ECONNABORTED) std::this_thread::sleep_for(kPause);  // too many files are open: it does not get better at once
    if (!socket) continue;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    try {
      connections.insert(os::start_process([&](os::UniqueFd own) { return serve_connection(std::move(own), settings, host_key), 0; }, std::move(socket)));
    } catch (const Error& error) {  // too many processes: this one is turned away
      log::error("ssh", error.what());
    }
  }
}

void serve_stdio(const Settings& settings, const HostKey& host_key) {
  if (is_socket(STDIN_FILENO)) {
    os::UniqueFd socket(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!socket) throw IoError("use stdin", errno);
    return serve_connection(std::move(socket), settings, host_key);
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw IoError("make a socket", errno);
  const os::UniqueFd ours(ends[0]);
  const pid_t pid = os::start_process([&](os::UniqueFd own) { return serve_connection(std::move(own), settings, host_key), 0; }, os::UniqueFd(ends[1]));
  log::debug("ssh", "serving stdin and stdout", {{"pid", std::to_string(pid)}});
  Way in{STDIN_FILENO, ours.get()}, out{ours.get(), STDOUT_FILENO};
  while (out.open) {
    pollfd fds[2] = {{in.open ? in.from : -1, POLLIN, 0}, {out.from, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) throw IoError("wait", errno);
    if (fds[0].revents && !in.move()) {
      in.open = false;
      ::shutdown(ours.get(), SHUT_WR);
    }
    if (fds[1].revents && !out.move()) out.open = false;
  }
}

}  // namespace riverbox::ssh
