// The supervisor of a command (os/supervised.hpp): a process that belongs to nobody, runs the command, does what is asked of it, and writes down how it ended.
#pragma once
#include <filesystem>

namespace riverbox::os {

struct SupervisorOptions {
  std::filesystem::path folder;  // absolute
  bool delegated = false;        // the service manager has started this process and left its control group to it: it stays in front
};

// Unless it is delegated, returns at once, and goes on in a process of its own. Returns the exit status. The process must have one thread, and does nothing else.
int supervise(const SupervisorOptions& options);

}  // namespace riverbox::os
