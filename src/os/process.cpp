#include "os/process.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <nss.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "base/time.hpp"
#include "os/fd.hpp"

extern char** environ;

namespace riverbox::os {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxOutput = 1 << 20;

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw IoError("make a pipe", errno);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

class FileActions {
public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(FileActions&&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
public:
  // A group of its own, so that the time-out reaches grandchildren; and the signals as a program expects them:
  // SIGPIPE is ignored in this process, and ignoring is inherited.
  Attributes() {
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    for (const int signal : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&signals, signal);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(Attributes&&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

private:
  posix_spawnattr_t attributes_;
};

// A child that is killed with its group and reaped whatever happens.
class Child {
public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) kill(), wait();
  }
  Child(Child&&) = delete;
  void kill() const { ::kill(-pid_, SIGKILL); }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  // True when it has ended; it stays to be waited for.
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  }

private:
  pid_t pid_;
};

// Reads what is there; drops what exceeds the limit so that the child does not block. False: end of file.
bool drain(const UniqueFd& fd, std::string& out) {
  char buffer[16384];
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n < 0) return errno == EINTR;
  out.append(buffer, std::min(static_cast<size_t>(n), kMaxOutput - out.size()));
  return n > 0;
}

// Collects both streams until they end; false when the time is over. A daemon that the child left behind may keep them
// open for ever, so the end of the child ends the wait too.
bool collect(const Child& child, UniqueFd out, UniqueFd err, ProcessResult& result, Clock::time_point deadline) {
  while (out || err) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd fds[2] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}};
    const int ready = ::poll(fds, 2, static_cast<int>(std::min<long>(left, 100)));
    if (ready == 0 && child.ended()) return true;
    if (fds[0].revents && !drain(out, result.stdout_text)) out.reset();
    if (fds[1].revents && !drain(err, result.stderr_text)) err.reset();
  }
  for (auto pause = std::chrono::milliseconds(1); !child.ended(); pause = std::min(pause * 2, std::chrono::milliseconds(50))) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

// Started with a closed stdin, stdout or stderr: the first file or socket opened would take its number, and what is printed would go there.
void fill_standard_descriptors() {
  int fd;
  do fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) ::close(fd);
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, std::chrono::milliseconds timeout) {
  if (argv.empty()) throw InternalError("cannot run a program without a name");
  const auto deadline = Clock::now() + timeout;
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  Pipe out, err;
  FileActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), out.write.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(actions.get(), err.write.get(), STDERR_FILENO);
  const Attributes attributes;
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0], actions.get(), attributes.get(), arguments.data(), environ);
  if (error == ENOENT) return {127, "", argv[0] + ": not found"};
  if (error) throw IoError("run " + argv[0], error);

  Child child(pid);
  out.write.reset();
  err.write.reset();
  ProcessResult result;
  if (!collect(child, std::move(out.read), std::move(err.read), result, deadline)) {
    throw Timeout(argv[0] + " did not end within " + std::to_string(timeout.count()) + " ms and was killed");
  }
  result.exit_code = child.wait();
  return result;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) != 0 || !name[0]) return "localhost";
  return name;
}

namespace {
std::int64_t started_unix_seconds = 0;
}

OwnProcess own_process() {
  OwnProcess self{.started_unix_seconds = started_unix_seconds};
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0, resident_pages = 0;
  if (statm >> total_pages >> resident_pages) self.resident_bytes = resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::error_code ignored;
  const auto open_files = std::filesystem::directory_iterator("/proc/self/fd", ignored);
  if (!ignored) self.open_fds = static_cast<std::uint64_t>(std::distance(open_files, std::filesystem::directory_iterator()));
  return self;
}

void init_runtime() {
  started_unix_seconds = unix_seconds(wall_now());
  fill_standard_descriptors();
  // A static glibc must never dlopen() an NSS module: libnss_systemd and others crash it. "files" and "dns" are
  // compiled in; naming them here also keeps nscd out.
  for (const char* database : {"passwd", "group", "shadow", "services", "protocols", "networks", "ethers", "rpc", "netgroup", "initgroups"})
    ::__nss_configure_lookup(database, "files");
  ::__nss_configure_lookup("hosts", "files dns");
  init_libcrypto();
  std::signal(SIGPIPE, SIG_IGN);
  // Eight arenas per core of 64 MB address space each look like a leak on a machine with 128 cores.
  ::mallopt(M_ARENA_MAX, 2);
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // without it we have fewer connections, nothing worse
}

void make_this_thread_idle() {
  constexpr int kProcess = 1, kBestEffort = 2, kLowest = 7, kClassShift = 13;  // linux/ioprio.h, which glibc does not have
  const auto thread = static_cast<id_t>(::gettid());
  ::setpriority(PRIO_PROCESS, thread, 10);
  ::syscall(SYS_ioprio_set, kProcess, thread, kBestEffort << kClassShift | kLowest);
}

}  // namespace riverbox::os
