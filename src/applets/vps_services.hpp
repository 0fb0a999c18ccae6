// What runs in a VPS beside what its user starts: the tunnel, and a server of SSH. They are kept running until they are told to end.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "os/child.hpp"

namespace riverbox::applets {

// One process that is started again, sooner or later, whenever it has ended. No threads.
class KeptProcess {
public:
  using Clock = std::chrono::steady_clock;
  // `command` is asked at each start, with how often in a row it has ended at once.
  KeptProcess(std::string name, std::function<os::Command(int failures)> command) : name_(std::move(name)), command_(std::move(command)) {}
  // Starts it when it is time to. Never throws.
  void keep();
  void ended(pid_t pid);  // whoever has; others are ignored
  Clock::time_point due() const { return pid_ > 0 ? Clock::time_point::max() : due_; }

private:
  const std::string name_;
  const std::function<os::Command(int)> command_;
  pid_t pid_ = -1;
  int failures_ = 0;
  Clock::time_point started_{}, due_{};
};

enum class SshAccess { none, keys, anybody };
std::vector<KeptProcess> vps_services(SshAccess ssh);

}  // namespace riverbox::applets
