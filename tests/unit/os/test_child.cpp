#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/child.hpp"
#include "os/users.hpp"

using namespace riverbox::os;

namespace {

// Until the end, or until `enough` has come.
std::string read_until(int fd, std::string_view enough = "\xff") {
  std::string text;
  char piece[4096];
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, 10'000) != 1) return text + " (time is over)";
    const ssize_t n = ::read(fd, piece, sizeof piece);
    if (n <= 0) return text;
    text.append(piece, static_cast<size_t>(n));
    if (text.find(enough) != text.npos) return text;
  }
}

int status_of(ChildWatch& watch, pid_t pid) {
  for (;;) {
    pollfd wait{watch.fd(), POLLIN, 0};
    if (::poll(&wait, 1, 10'000) != 1) return -1;
    for (const auto& ended : watch.ended())
      if (ended.pid == pid) return ended.status;
  }
}

Command shell(std::string command) { return {.file = "/bin/sh", .argv = {"sh", "-c", std::move(command)}, .env = {"A=b c", "PATH=/usr/bin:/bin"}, .working_dir = "/"}; }

}  // namespace

TEST_CASE("a command over pipes: its streams, its environment, its end") {
  ChildWatch watch;
  Child child = start_command(shell("cat; echo \"$A $PWD\"; echo err >&2; exit 7"));
  REQUIRE(::write(child.in.get(), "in\n", 3) == 3);
  child.in.reset();
  CHECK(read_until(child.out.get()) == "in\nb c /\n");
  CHECK(read_until(child.err.get()) == "err\n");
  const int status = status_of(watch, child.pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("a command: signals are as a program expects them, and its group is its own") {
  ChildWatch watch;
  Child child = start_command(shell("sleep 100 & echo started; wait"));
  CHECK(read_until(child.out.get(), "started") == "started\n");
  REQUIRE(::kill(-child.pid, SIGTERM) == 0);
  CHECK(read_until(child.out.get()).empty());  // the one in the background is gone as well
  CHECK(WTERMSIG(status_of(watch, child.pid)) == SIGTERM);
}

TEST_CASE("a command that cannot be run says so") {
  ChildWatch watch;
  Child child = start_command({.file = "/nonexistent/shell", .argv = {"x"}, .env = {}, .working_dir = "/nonexistent"});
  const std::string told = read_until(child.err.get());
  CHECK(told.find("cannot change to /nonexistent") != told.npos);
  CHECK(told.find("cannot run /nonexistent/shell") != told.npos);
  CHECK(WEXITSTATUS(status_of(watch, child.pid)) == 127);
}

TEST_CASE("a command in a terminal of its own") {
  ChildWatch watch;
  PseudoTerminal terminal;
  terminal.resize({.rows = 12, .columns = 34}, 0, 0);
  Child child = start_command(shell("stty size; tty; read line; echo \"got $line\"; stty size"), terminal);
  CHECK_FALSE(child.err);
  const std::string first = read_until(child.out.get(), "/dev/pts/");
  CHECK(first.find("12 34") != first.npos);
  resize_terminal(child.in.get(), {.rows = 56, .columns = 78}, 0, 0);
  REQUIRE(::write(child.in.get(), "text\r", 5) == 5);
  const std::string second = read_until(child.out.get());
  CHECK(second.find("got text") != second.npos);
  CHECK(second.find("56 78") != second.npos);
  CHECK(WEXITSTATUS(status_of(watch, child.pid)) == 0);
}

TEST_CASE("a function in a process of its own has nothing of ours open") {
  ChildWatch watch;
  const UniqueFd open_here = open_at("/dev/null", O_RDWR);
  const int number = open_here.get();
  Child child = start_function([number] {
    const bool closed = ::fcntl(number, F_GETFD) < 0;
    write_all(STDOUT_FILENO, closed ? "closed" : "open", "the test");
    return 3;
  });
  CHECK(read_until(child.out.get()) == "closed");
  CHECK(WEXITSTATUS(status_of(watch, child.pid)) == 3);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const UniqueFd read_end(ends[0]);
  const pid_t pid = start_process([number](UniqueFd kept) {
    const bool closed = ::fcntl(number, F_GETFD) < 0;
    write_all(kept.get(), closed ? "closed" : "open", "the test");
    return 4;
  }, UniqueFd(ends[1]));
  CHECK(read_until(read_end.get()) == "closed");
  CHECK(WEXITSTATUS(status_of(watch, pid)) == 4);
}

TEST_CASE("users") {
  CHECK(own_user().uid == ::geteuid());
  REQUIRE(find_user("root"));
  CHECK(find_user("root")->uid == 0);
  CHECK_FALSE(find_user("who-is-this-7531"));
  become_user(own_user());  // nothing happens
}
