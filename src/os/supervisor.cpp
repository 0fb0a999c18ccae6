#include "os/supervisor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <system_error>
#include <thread>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/process_tree.hpp"
#include "os/supervised.hpp"

extern char** environ;

namespace riverbox::os {
namespace {

namespace fs = std::filesystem;
using namespace supervised_file;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr int kCannotRun = 126, kNotFound = 127;  // as a shell says it

// ---- who the command runs as

struct Identity {
  bool changes = false;  // it is not who runs the supervisor
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name, home, shell;
};

Identity identity_of(const std::string& user) {
  Identity who{.changes = false, .uid = ::geteuid(), .gid = ::getegid(), .name = {}, .home = "/", .shell = "/bin/sh"};
  const auto number = parse_u64(user);
  const passwd* entry = user.empty() ? ::getpwuid(who.uid) : number ? ::getpwuid(static_cast<uid_t>(*number)) : ::getpwnam(user.c_str());
  if (entry) who = {false, entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir, *entry->pw_shell ? entry->pw_shell : "/bin/sh"};
  else if (!user.empty()) throw NotFound("there is no user '" + printable(user, 60) + "' in /etc/passwd", "[environment] runner_user names it.");
  who.changes = !user.empty() && who.uid != ::geteuid();
  if (who.changes && ::geteuid() != 0) throw Forbidden("only root can run a command as user '" + printable(user, 60) + "'");
  return who;
}

// ---- in the child, between fork and exec

// What went wrong there, for the supervisor.
struct Failure {
  int step = 0, error = 0;
};
constexpr const char* kSteps[] = {"become its user", "change to its working directory", "run it"};

[[noreturn]] void fail(int report, int step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  ::_exit(step == 2 && failure.error == ENOENT ? kNotFound : kCannotRun);
}

void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Without a control group for it.
void bind_self(const GroupLimits& limits) {
  if (!limits.cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : limits.cpus)
      if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    ::sched_setaffinity(0, sizeof set, &set);
  }
  if (limits.memory_node && *limits.memory_node < 64) {
    const unsigned long mask = 1ul << *limits.memory_node;
    ::syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 65ul);  // the kernel takes one bit less than it is told
  }
}

// ---- the supervisor

class Supervisor {
public:
  Supervisor(fs::path folder, bool delegated) : folder_(std::move(folder)), delegated_(delegated) {}
  int run();

private:
  // What the command writes goes through a pipe into a file: whoever opens its /dev/stderr once more cuts nothing off, and a full disk makes it wait, not fail.
  struct Output {
    UniqueFd pipe, file;
    std::string pending;  // read, and not written yet
  };
  bool take_lock();
  void prepare();
  void write_started();
  void start_command();
  [[noreturn]] void become_command(int report, const UniqueFd (&out)[2]);
  void watch();
  bool move(Output& output);
  void take_signals();
  void take_requests();
  void obey(std::string_view request);
  void pause();
  void resume();
  void signal_all(int number) const;
  bool reap();
  void end_rest();
  void move_rest(Output& output);
  json ending();
  void explain_start();

  const fs::path folder_;
  const bool delegated_;
  SupervisedCommand command_;
  Identity who_;
  std::optional<Cgroup> group_;
  UniqueFd lock_, control_, signals_, report_;
  Output output_[2];     // stdout, stderr
  std::string request_;  // the beginning of a line
  std::string trouble_;  // why the command could not be run
  pid_t main_ = -1;      // -1: it has ended, or was never there
  int status_ = 0;       // of wait(2)
  bool paused_ = false, told_to_end_ = false;
};

int Supervisor::run() {
  if (!take_lock()) return 0;  // another one has it
  try {
    struct stat status {};
    if (::stat((folder_ / kStarted).c_str(), &status) == 0) return 0;  // it has run; nothing runs twice
    command_ = json::parse(read_file(folder_ / kCommand)).get<SupervisedCommand>();
    prepare();
    write_started();
  } catch (const std::exception& error) {
    if (group_) group_->remove();
    try {
      write_atomically(folder_ / kFailed, error.what(), 0600);
    } catch (const Error&) {  // the folder was given up
    }
    return 1;
  }
  start_command();
  watch();
  end_rest();
  for (Output& output : output_) move_rest(output);
  // A full disk must not swallow how it ended.
  for (const std::string text = ending().dump(-1, ' ', false, json::error_handler_t::replace);;) {
    try {
      write_atomically(folder_ / kEnded, text, 0600);
      break;
    } catch (const IoError& error) {
      if (error.error_number() == ENOENT) break;  // nobody wants to know
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }
  group_->remove();
  return 0;
}

bool Supervisor::take_lock() {
  lock_.reset(::open((folder_ / kLock).c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return lock_ && ::fcntl(lock_.get(), F_OFD_SETLK, &lock) == 0;
}

void Supervisor::prepare() {
  who_ = identity_of(command_.user);
  // What the command leaves behind comes to us, and not to init.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw IoError("become a subreaper", errno);
  const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const ssize_t ignored = ::write(score.get(), "-900", 4);  // rather the command than who knows of it
  control_ = open_at(folder_ / kControl, O_RDWR | O_NONBLOCK);               // for writing too, so that it never ends
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&mask, signal);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  signals_.reset(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw IoError("watch signals", errno);
  for (const int i : {0, 1}) output_[i].file = open_at(folder_ / (i == 0 ? kOutput : kErrors), O_WRONLY | O_APPEND);
  group_.emplace(command_.group, command_.limits, delegated_);
}

void Supervisor::write_started() {
  const json started{{"started_at", to_rfc3339(wall_now())}, {"boot_id", boot_id()}, {"notes", group_->notes()}, {"groups", group_->folders()}};
  write_atomically(folder_ / kStarted, started.dump(), 0600);
}

// From here on the command has run, whatever happens.
void Supervisor::start_command() {
  UniqueFd ends[2];
  int report[2], out[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return void(trouble_ = "cannot make a pipe");
  report_.reset(report[0]);
  const UniqueFd report_end(report[1]);
  for (int i : {0, 1}) {
    if (::pipe2(out, O_CLOEXEC) != 0) return void(trouble_ = "cannot make a pipe");
    output_[i].pipe.reset(out[0]);
    ends[i].reset(out[1]);
    ::fcntl(out[0], F_SETFL, O_NONBLOCK);
  }
  main_ = ::fork();
  if (main_ == 0) become_command(report_end.get(), ends);
  if (main_ < 0) trouble_ = "cannot start a process: " + std::generic_category().message(errno);
}

void Supervisor::become_command(int report, const UniqueFd (&out)[2]) {
  ::setsid();  // no terminal, and a process group of its own
  group_->enter();
  if (!group_->binds_cpus()) bind_self(command_.limits);
  if (const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); score) [[maybe_unused]] const ssize_t ignored = ::write(score.get(), "0", 1);
  reset_signals();
  ::umask(022);
  for (const int i : {0, 1}) {  // stdin is /dev/null, as ours
    if (who_.changes) [[maybe_unused]] const int ignored = ::fchown(out[i].get(), who_.uid, who_.gid);  // so that it may open its /dev/stdout
    if (::dup2(out[i].get(), 1 + i) < 0) fail(report, 2);
  }
  // Groups that are not in /etc/group do not matter: nothing is asked over the network here.
  if (who_.changes && (::initgroups(who_.name.c_str(), who_.gid) != 0 || ::setgid(who_.gid) != 0 || ::setuid(who_.uid) != 0)) fail(report, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // if the supervisor is killed: nobody could tell its end any more
  if (::chdir(command_.working_dir.c_str()) != 0) fail(report, 1);
  command_.env.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  command_.env.try_emplace("HOME", who_.home);
  command_.env.try_emplace("USER", who_.name);
  command_.env.try_emplace("LOGNAME", who_.name);
  command_.env.try_emplace("SHELL", who_.shell);
  std::vector<std::string> variables;
  for (const auto& [name, value] : command_.env) variables.push_back(name + "=" + value);
  std::vector<char*> env, argv;
  for (auto& variable : variables) env.push_back(variable.data());
  for (auto& word : command_.argv) argv.push_back(word.data());
  env.push_back(nullptr);
  argv.push_back(nullptr);
  environ = env.data();  // where execvp looks for PATH
  ::execvp(argv[0], argv.data());
  fail(report, 2);
}

void Supervisor::watch() {
  while (main_ > 0) {
    pollfd fds[4] = {{signals_.get(), POLLIN, 0}, {control_.get(), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
    bool disk_is_full = false;
    for (const int i : {0, 1}) {
      if (output_[i].pending.empty()) fds[2 + i].fd = output_[i].pipe.get();
      else disk_is_full = true;
    }
    ::poll(fds, 4, disk_is_full ? 1000 : -1);
    for (Output& output : output_) move(output);
    take_signals();
    take_requests();
    reap();
  }
}

// A piece. False: there is nothing to read, or the disk takes nothing.
bool Supervisor::move(Output& output) {
  if (output.pending.empty() && output.pipe) {
    char buffer[64 << 10];
    const ssize_t n = ::read(output.pipe.get(), buffer, sizeof buffer);
    if (n > 0) output.pending.assign(buffer, static_cast<size_t>(n));
    if (n == 0) output.pipe.reset();
  }
  if (output.pending.empty()) return false;
  const ssize_t n = ::write(output.file.get(), output.pending.data(), output.pending.size());
  if (n > 0) output.pending.erase(0, static_cast<size_t>(n));
  return n > 0;
}

void Supervisor::move_rest(Output& output) {
  while (move(output) || !output.pending.empty())
    if (!output.pending.empty()) std::this_thread::sleep_for(milliseconds(200));
}

void Supervisor::take_signals() {
  for (signalfd_siginfo info; ::read(signals_.get(), &info, sizeof info) == sizeof info;) {
    if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGHUP) continue;
    told_to_end_ = true;  // the machine is shut down, or somebody wants the service to stop
    signal_all(SIGTERM);
    resume();
  }
}

void Supervisor::take_requests() {
  char buffer[256];
  for (ssize_t n; (n = ::read(control_.get(), buffer, sizeof buffer)) > 0;) request_.append(buffer, static_cast<size_t>(n));
  for (size_t end; (end = request_.find('\n')) != std::string::npos; request_.erase(0, end + 1)) obey(std::string_view(request_).substr(0, end));
}

void Supervisor::obey(std::string_view request) {
  if (request.starts_with("signal "))
    if (const auto number = parse_u64(request.substr(7)); number && *number <= static_cast<std::uint64_t>(SIGRTMAX)) signal_all(static_cast<int>(*number));
  if (request == "pause") pause();
  if (request == "resume") resume();
  if (request != "kill") return;
  group_->kill();
  signal_all(SIGKILL);
  resume();  // what version 1 has frozen cannot even die
}

// Each that was there; what they fork meanwhile is met by the next round.
void Supervisor::signal_all(int number) const {
  for (const pid_t pid : descendants()) ::kill(pid, number);
}

void Supervisor::pause() {
  if (group_->can_freeze()) group_->freeze(true);
  else
    for (size_t before = 0, round = 0; round < 10; ++round) {
      const auto all = descendants();
      if (all.size() == before) break;
      before = all.size();
      for (const pid_t pid : all) ::kill(pid, SIGSTOP);
    }
  paused_ = true;
  const UniqueFd mark(::open((folder_ / kPaused).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

void Supervisor::resume() {
  if (!std::exchange(paused_, false)) return;
  if (group_->can_freeze()) group_->freeze(false);
  else signal_all(SIGCONT);
  ::unlink((folder_ / kPaused).c_str());
}

// False: there is no child any more.
bool Supervisor::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != main_) continue;
    main_ = -1;
    status_ = status;
  }
  return pid == 0 || errno != ECHILD;
}

// As with a container: what the command has left behind ends with it.
void Supervisor::end_rest() {
  for (auto pause = milliseconds(1); reap(); pause = std::min(pause * 2, milliseconds(200))) {
    group_->kill();
    signal_all(SIGKILL);
    resume();
    if (reap()) std::this_thread::sleep_for(pause);
  }
}

void Supervisor::explain_start() {
  Failure failure;
  if (!trouble_.empty() || ::read(report_.get(), &failure, sizeof failure) != sizeof failure) return;
  const std::string what = failure.step == 0 ? command_.user : failure.step == 1 ? command_.working_dir : command_.argv[0];
  trouble_ = fmt::format("cannot {} ({}): {}", kSteps[failure.step], printable(what, 200), std::generic_category().message(failure.error));
}

json Supervisor::ending() {
  const bool was_there = trouble_.empty();
  explain_start();
  const int code = !was_there ? kCannotRun : WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  if (trouble_.empty() && told_to_end_ && code != 0) trouble_ = "it was told to end, as when the machine is shut down";
  return {{"exit_code", code}, {"error", trouble_}, {"oom_killed", group_->oom_killed()}, {"finished_at", to_rfc3339(wall_now())}};
}

void leave_everything() {
  ::close_range(STDERR_FILENO + 1, ~0u, 0);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
  [[maybe_unused]] const int ignored = ::chdir("/");  // no file system is held by us
}

}  // namespace

int supervise(const SupervisorOptions& options) {
  if (!options.delegated) {
    const pid_t pid = ::fork();
    if (pid < 0) throw IoError("start a process", errno);
    if (pid > 0) return 0;  // init is its parent now
    ::setsid();
  }
  leave_everything();
  return Supervisor(options.folder, options.delegated).run();
}

}  // namespace riverbox::os
