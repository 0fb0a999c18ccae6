#include <doctest/doctest.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "base/error.hpp"
#include "os/fd.hpp"
#include "os/tty.hpp"

using namespace riverbox;
using namespace riverbox::os;

namespace {

struct Pty {
  UniqueFd master, slave;
  Pty() {
    int m = -1, s = -1;
    REQUIRE(::openpty(&m, &s, nullptr, nullptr, nullptr) == 0);
    master.reset(m);
    slave.reset(s);
  }
  bool raw() const {
    termios settings{};
    REQUIRE(::tcgetattr(slave.get(), &settings) == 0);
    return !(settings.c_lflag & (ICANON | ECHO | ISIG));
  }
  bool cooked() const {
    termios settings{};
    REQUIRE(::tcgetattr(slave.get(), &settings) == 0);
    return (settings.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
  }
};

// The exit of a child that goes into raw mode on the pty and then does `work`.
template <typename Work>
int status_of_raw_child(const Pty& pty, Work work) {
  std::cout.flush();  // or exit() in the child prints it a second time
  const pid_t child = ::fork();
  if (child == 0) {
    const RawMode raw(pty.slave.get());
    if (!pty.raw()) ::_exit(99);
    work();
    ::_exit(98);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("the size of a terminal, and of what is none") {
  Pty pty;
  winsize size{};
  size.ws_row = 50, size.ws_col = 132;
  REQUIRE(::ioctl(pty.master.get(), TIOCSWINSZ, &size) == 0);
  CHECK(is_tty(pty.slave.get()));
  CHECK(terminal_size(pty.slave.get())->columns == 132);
  CHECK(terminal_size(pty.slave.get())->rows == 50);
  size.ws_col = 0;
  REQUIRE(::ioctl(pty.master.get(), TIOCSWINSZ, &size) == 0);
  CHECK_FALSE(terminal_size(pty.slave.get()));
  const UniqueFd null = open_read("/dev/null");
  CHECK_FALSE(is_tty(null.get()));
  CHECK_FALSE(terminal_size(null.get()));
  CHECK_THROWS_AS(RawMode{null.get()}, IoError);
}

TEST_CASE("raw mode lasts as long as its object, or until it is restored") {
  Pty pty;
  REQUIRE(pty.cooked());
  {
    RawMode raw(pty.slave.get());
    CHECK(pty.raw());
    CHECK_THROWS_AS(RawMode{pty.slave.get()}, InternalError);
    CHECK(pty.raw());
    raw.restore();
    CHECK(pty.cooked());
    raw.restore();
  }
  CHECK(pty.cooked());
  {
    RawMode again(pty.slave.get());
    CHECK(pty.raw());
  }
  CHECK(pty.cooked());
}

TEST_CASE("the handlers of others are back afterwards") {
  Pty pty;
  ::signal(SIGTERM, SIG_IGN);
  {
    RawMode raw(pty.slave.get());
    ::raise(SIGTERM);  // still ignored, as under nohup
  }
  struct sigaction action {};
  ::sigaction(SIGTERM, nullptr, &action);
  CHECK((action.sa_handler == SIG_IGN));
  ::signal(SIGTERM, SIG_DFL);
}

// fault: client-killed
TEST_CASE("fatal signals restore the terminal and still kill") {
  for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT}) {
    CAPTURE(signal);
    Pty pty;
    const int status = status_of_raw_child(pty, [signal] {
      ::signal(SIGALRM, SIG_DFL);
      ::raise(signal);
    });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
    CHECK(pty.cooked());
  }
}

TEST_CASE("exit() restores the terminal although it skips destructors") {
  Pty pty;
  const int status = status_of_raw_child(pty, [] { std::exit(7); });
  CHECK(WIFEXITED(status));
  CHECK(pty.cooked());
}
