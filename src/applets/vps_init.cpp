// `riverbox vps-init`: the main process of a VPS. It keeps the container up, with a tunnel and a server of SSH in it, and ends what runs there in an orderly way when it is stopped.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "applets/commands.hpp"
#include "applets/vps_services.hpp"
#include "base/error.hpp"

namespace riverbox::applets {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::seconds(4);  // twice: the runner's own is 10 s, and then comes SIGKILL

// To all but this one and the first process, which reaps what is not ours. Waits until they have ended, within its limit.
void end_others(int signal) {
  for (const auto end = Clock::now() + kGrace; ::kill(-1, signal) == 0 && Clock::now() < end; signal = 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

SshAccess access_of(const std::vector<std::string>& args) {
  if (args.empty()) return SshAccess::none;
  if (args == std::vector<std::string>{"--ssh"}) return SshAccess::keys;
  if (args == std::vector<std::string>{"--ssh-without-key"}) return SshAccess::anybody;
  throw InvalidInput("vps-init takes --ssh or --ssh-without-key, or nothing", "Runners start it in the containers of VPSs.");
}

// 0: it is time to start something.
int wait_for_signal(const sigset_t& signals, Clock::time_point due) {
  if (due == Clock::time_point::max()) return ::sigwaitinfo(&signals, nullptr);
  const auto left = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(due - Clock::now()), std::chrono::milliseconds(1)).count();
  const timespec time{.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1'000'000};
  return std::max(::sigtimedwait(&signals, nullptr, &time), 0);
}

void keep_until_told_to_end(std::vector<KeptProcess> services) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  for (;;) {
    auto due = Clock::time_point::max();
    for (KeptProcess& service : services) {
      service.keep();
      due = std::min(due, service.due());
    }
    if (const int signal = wait_for_signal(signals, due); signal > 0 && signal != SIGCHLD) return;
    for (pid_t pid; (pid = ::waitpid(-1, nullptr, WNOHANG)) > 0;)
      for (KeptProcess& service : services) service.ended(pid);
  }
}

}  // namespace

int run_vps_init(const Invocation& invocation) {
  keep_until_told_to_end(vps_services(access_of(invocation.args)));
  end_others(SIGTERM);
  end_others(SIGHUP);  // which shells at terminals obey
  return 0;
}

}  // namespace riverbox::applets
