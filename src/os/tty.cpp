#include "os/tty.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/error.hpp"

namespace riverbox::os {
namespace {

constexpr int kFatal[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGBUS, SIGABRT};
constexpr size_t kFatalCount = sizeof(kFatal) / sizeof(kFatal[0]);

// What a signal handler may touch: set before the handlers are installed, cleared after they are gone.
std::atomic<int> restore_fd{-1};
termios restore_settings;
struct sigaction previous_actions[kFatalCount];

void restore_terminal() noexcept {
  const int fd = restore_fd.exchange(-1);
  if (fd < 0) return;
  const int saved = errno;
  // A background process would be stopped by SIGTTOU in tcsetattr; then the shell restores the terminal itself.
  while (::tcsetattr(fd, TCSANOW, &restore_settings) != 0 && errno == EINTR) {
  }
  errno = saved;
}

void on_fatal_signal(int signal) {
  restore_terminal();
  // SA_RESETHAND made the default action current; it takes effect when this handler returns.
  ::raise(signal);
}

}  // namespace

bool is_tty(int fd) { return ::isatty(fd) == 1; }

std::optional<TerminalSize> terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

RawMode::RawMode(int fd) : fd_(fd) {
  if (restore_fd >= 0) throw InternalError("cannot put the terminal into raw mode: it is in raw mode already");
  if (::tcgetattr(fd, &saved_) != 0) throw IoError("read the settings of the terminal", errno, "Run the command in a terminal.");
  restore_settings = saved_;
  restore_fd = fd;
  [[maybe_unused]] static const int registered = std::atexit(restore_terminal);  // exit() runs no destructors of the stack
  struct sigaction action {};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (size_t i = 0; i < kFatalCount; ++i) {
    ::sigaction(kFatal[i], nullptr, &previous_actions[i]);
    // nohup and the like: who ignores a signal goes on ignoring it.
    if (previous_actions[i].sa_handler != SIG_IGN) ::sigaction(kFatal[i], &action, nullptr);
  }
  termios raw = saved_;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSANOW, &raw) != 0) {
    const int error = errno;
    restore();
    throw IoError("put the terminal into raw mode", error);
  }
}

RawMode::~RawMode() {
  restore();
  for (size_t i = 0; i < kFatalCount; ++i) ::sigaction(kFatal[i], &previous_actions[i], nullptr);
}

void RawMode::restore() noexcept {
  if (restore_fd == fd_) restore_terminal();
}

}  // namespace riverbox::os
