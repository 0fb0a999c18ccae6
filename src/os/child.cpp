#include "os/child.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.hpp"

extern char** environ;

namespace riverbox::os {
namespace {

constexpr int kCannotRunCommand = 126, kCommandNotFound = 127;  // as a shell says it

struct ChildPipe {
  UniqueFd read, write;
  ChildPipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw IoError("make a pipe", errno);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

void do_not_block(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

pid_t checked_fork() {
  const pid_t pid = ::fork();
  if (pid < 0) throw IoError("start a process", errno);
  return pid;
}

// ---- in the child: nothing here may throw or come back to the parent's work

void as_new_process() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void close_range_of(unsigned first, unsigned last) {
  if (first > last || ::syscall(SYS_close_range, first, last, 0u) == 0) return;
  const auto limit = static_cast<unsigned>(::sysconf(_SC_OPEN_MAX));  // a kernel before 5.9, or a filter that does not know the call
  for (unsigned fd = first; fd < limit && fd <= last; ++fd) ::close(static_cast<int>(fd));
}

// All but the first three, and `but`.
void close_others(int but = STDERR_FILENO) {
  const auto kept = static_cast<unsigned>(but);
  close_range_of(STDERR_FILENO + 1, kept - 1);
  close_range_of(kept + 1, ~0u);
}

[[noreturn]] void give_up(const std::string& what, int error) {
  const std::string text = "riverbox: cannot " + what + ": " + std::strerror(error) + "\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
  ::_exit(error == ENOENT ? kCommandNotFound : kCannotRunCommand);
}

[[noreturn]] void run(const Command& command) {
  if (::chdir(command.working_dir.c_str()) != 0) {
    const std::string text = "riverbox: cannot change to " + command.working_dir.string() + ": " + std::strerror(errno) + "\n";
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
    if (::chdir("/") != 0) ::_exit(kCannotRunCommand);
  }
  std::vector<char*> argv, env;
  for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& variable : command.env) env.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  ::execve(command.file.c_str(), argv.data(), env.data());
  give_up("run " + command.file, errno);
}

[[noreturn]] void end_with(const std::function<int()>& body) {
  int status = 1;
  try {
    status = body();
  } catch (...) {
  }
  ::_exit(status);
}

}  // namespace

PseudoTerminal::PseudoTerminal() {
  int master = -1, slave = -1;
  char name[64] = "";
  if (::openpty(&master, &slave, name, nullptr, nullptr) != 0) throw IoError("open a pseudo terminal", errno, "Is /dev/pts mounted?");
  master_.reset(master);
  slave_.reset(slave);
  name_ = name;
  for (const int fd : {master, slave}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void resize_terminal(int fd, TerminalSize size, std::uint16_t width_pixels, std::uint16_t height_pixels) {
  const winsize wanted{size.rows, size.columns, width_pixels, height_pixels};
  ::ioctl(fd, TIOCSWINSZ, &wanted);
}

void PseudoTerminal::resize(TerminalSize size, std::uint16_t width_pixels, std::uint16_t height_pixels) const {
  resize_terminal(slave_.get(), size, width_pixels, height_pixels);
}

Child start_command(const Command& command) {
  ChildPipe in, out, err;
  Child child;
  child.pid = checked_fork();
  if (child.pid == 0) {
    ::setsid();  // a process group of its own, for signals, and no terminal
    as_new_process();
    if (::dup2(in.read.get(), STDIN_FILENO) < 0 || ::dup2(out.write.get(), STDOUT_FILENO) < 0 || ::dup2(err.write.get(), STDERR_FILENO) < 0) ::_exit(kCannotRunCommand);
    run(command);
  }
  child.in = std::move(in.write);
  child.out = std::move(out.read);
  child.err = std::move(err.read);
  for (const UniqueFd* fd : {&child.in, &child.out, &child.err}) do_not_block(fd->get());
  return child;
}

Child start_command(const Command& command, PseudoTerminal& terminal) {
  Child child;
  UniqueFd second(::fcntl(terminal.master_.get(), F_DUPFD_CLOEXEC, 3));
  if (!second) throw IoError("use a pseudo terminal", errno);
  child.pid = checked_fork();
  if (child.pid == 0) {
    ::setsid();
    as_new_process();
    if (::ioctl(terminal.slave_.get(), TIOCSCTTY, 0) != 0) ::_exit(kCannotRunCommand);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      if (::dup2(terminal.slave_.get(), standard) < 0) ::_exit(kCannotRunCommand);
    run(command);
  }
  terminal.slave_.reset();
  child.in = std::move(terminal.master_);
  child.out = std::move(second);
  do_not_block(child.in.get());
  return child;
}

pid_t start_beside(const Command& command) {
  const pid_t pid = checked_fork();
  if (pid == 0) {
    ::setsid();
    as_new_process();
    run(command);
  }
  return pid;
}

[[noreturn]] void become_program(const std::string& file, const std::vector<std::string>& argv) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(file.c_str(), words.data());
  throw IoError("run " + file, errno);
}

pid_t start_program(const std::vector<std::string>& argv) {
  const pid_t pid = checked_fork();
  if (pid == 0) {
    as_new_process();
    end_with([&]() -> int {
      try {
        become_program(argv.front(), argv);
      } catch (const IoError&) {
        return kCommandNotFound;
      }
    });
  }
  return pid;
}

Child start_function(const std::function<int()>& body) {
  ChildPipe in, out;
  Child child;
  child.pid = checked_fork();
  if (child.pid == 0) {
    as_new_process();
    ::signal(SIGPIPE, SIG_IGN);
    if (::dup2(in.read.get(), STDIN_FILENO) < 0 || ::dup2(out.write.get(), STDOUT_FILENO) < 0) ::_exit(1);
    close_others();
    end_with(body);
  }
  child.in = std::move(in.write);
  child.out = std::move(out.read);
  for (const UniqueFd* fd : {&child.in, &child.out}) do_not_block(fd->get());
  return child;
}

pid_t start_process(const std::function<int(UniqueFd)>& body, UniqueFd keep) {
  const pid_t pid = checked_fork();
  if (pid == 0) {
    as_new_process();
    ::signal(SIGPIPE, SIG_IGN);
    close_others(keep.get());
    end_with([&] { return body(std::move(keep)); });
  }
  return pid;
}

ChildWatch::ChildWatch() {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  signals_.reset(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw IoError("watch child processes", errno);
}

ChildWatch::~ChildWatch() {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGCHLD);
  ::sigprocmask(SIG_UNBLOCK, &mask, nullptr);
}

std::vector<ChildWatch::Ended> ChildWatch::ended() {
  for (signalfd_siginfo info; ::read(signals_.get(), &info, sizeof info) > 0;) {  // several may be one
  }
  std::vector<Ended> all;
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) all.push_back({pid, status});
  return all;
}

}  // namespace riverbox::os
