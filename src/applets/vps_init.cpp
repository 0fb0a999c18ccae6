// `riverbox vps-init`: the main process of a VPS. It keeps the container up, and ends what runs in it in an orderly way when it is stopped.
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "applets/commands.hpp"
#include "base/error.hpp"

namespace riverbox::applets {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::seconds(4);  // twice: the runner's own is 10 s, and then comes SIGKILL

// To all but this one and the first process, which reaps them. Waits until they have ended, within its limit.
void end_others(int signal) {
  for (const auto end = Clock::now() + kGrace; ::kill(-1, signal) == 0 && Clock::now() < end; signal = 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

int run_vps_init(const Invocation& invocation) {
  if (!invocation.args.empty()) throw InvalidInput("vps-init takes no arguments", "Runners start it in the containers of VPSs.");
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, signal);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  int signal = 0;
  while (sigwait(&ends, &signal) != 0) {
  }
  end_others(SIGTERM);
  end_others(SIGHUP);  // which shells at terminals obey
  return 0;
}

}  // namespace riverbox::applets
