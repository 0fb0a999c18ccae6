// How long this node has been without a word of its host: by then it ends what is to stop in a partition, and the host calls it lost only later. Counts by a clock that goes
// on while the machine sleeps and is never set, and goes on across restarts of the runner. Loop thread only.
#pragma once
#include <chrono>
#include <filesystem>

#include "os/fd.hpp"

namespace riverbox::runner {

class Lease {
public:
  using Time = std::chrono::milliseconds;  // since the machine has started
  static Time now();                       // CLOCK_BOOTTIME

  // `file` remembers the last word for the next run; one that cannot be written is said once and makes no difference until then. `start` is now.
  explicit Lease(std::filesystem::path file, Time start = now());

  // The host has taken what was sent then. What was sent in the future or before the last such word is ignored.
  void heard(Time sent, Time now = Lease::now());
  // Since then; of a run that has heard nothing, since the last word of the run before it, if the machine has not been started again.
  // A run that has just begun first tries to reach the host: for some seconds it is 0.
  std::chrono::seconds silence(Time now = Lease::now()) const;

private:
  void remember();

  const std::filesystem::path file_;
  os::UniqueFd fd_;
  Time start_, heard_;
  bool told_ = false;  // that the file cannot be written
};

}  // namespace riverbox::runner
