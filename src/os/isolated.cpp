#include "os/isolated.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "os/fd.hpp"

namespace riverbox::os {
namespace {

using IsolatedClock = std::chrono::steady_clock;

struct Worker {
  pid_t pid = -1;
  UniqueFd answer;
  std::string text;
};

// In the child. A NUL after the text says that it is whole.
[[noreturn]] void answer_and_end(const std::function<std::string()>& work, int answer, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  // Whoever reads what we print must not wait for one that hangs.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, standard);
  try {
    write_all(answer, work() + '\0', "the answer");
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

Worker start(const std::function<std::string()>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw IoError("make a pipe", errno);
  Worker worker{.answer = UniqueFd(ends[0])};
  const UniqueFd theirs(ends[1]);
  const pid_t parent = ::getpid();
  worker.pid = ::fork();
  if (worker.pid < 0) throw IoError("start a process", errno);
  if (worker.pid == 0) answer_and_end(work, theirs.get(), parent);
  return worker;
}

// False: nothing more comes.
bool read_some(Worker& worker) {
  char buffer[4096];
  const ssize_t n = ::read(worker.answer.get(), buffer, sizeof buffer);
  if (n < 0) return errno == EINTR;
  worker.text.append(buffer, static_cast<size_t>(n));
  return n > 0;
}

void collect_until(std::vector<Worker>& workers, IsolatedClock::time_point deadline) {
  for (;;) {
    std::vector<pollfd> fds;
    for (const Worker& worker : workers) fds.push_back({worker.answer.get(), POLLIN, 0});  // a closed one is -1 and is not looked at
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - IsolatedClock::now()).count();
    const bool open = std::any_of(fds.begin(), fds.end(), [](const pollfd& fd) { return fd.fd >= 0; });
    if (!open || left <= 0) return;
    ::poll(fds.data(), fds.size(), static_cast<int>(left));
    for (size_t i = 0; i < workers.size(); ++i)
      if (fds[i].revents && !read_some(workers[i])) workers[i].answer.reset();
  }
}

}  // namespace

std::vector<std::optional<std::string>> run_isolated(const std::vector<std::function<std::string()>>& work, std::chrono::milliseconds limit) {
  std::vector<Worker> workers;
  for (const auto& piece : work) workers.push_back(start(piece));
  collect_until(workers, IsolatedClock::now() + limit);
  std::vector<std::optional<std::string>> answers;
  for (Worker& worker : workers) {
    ::kill(worker.pid, SIGKILL);
    ::waitpid(worker.pid, nullptr, worker.answer ? WNOHANG : 0);  // one that has closed its end is at its end
    const bool whole = worker.text.ends_with('\0');
    if (whole) worker.text.pop_back();
    answers.push_back(whole ? std::optional(std::move(worker.text)) : std::nullopt);
  }
  return answers;
}

}  // namespace riverbox::os
