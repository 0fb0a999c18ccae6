// riverbox __supervise: started by the runner for a task without a container; not for people.
#include "os/supervisor.hpp"

#include "applets/commands.hpp"
#include "base/error.hpp"

namespace riverbox::applets {

int run_supervise(const Invocation& invocation) {
  const auto& words = invocation.args;
  const bool delegated = words.size() == 2 && words[0] == "--delegated";
  if ((words.size() != 1 && !delegated) || words.back().empty() || words.back()[0] != '/') throw UsageError("__supervise is called by the runner alone.");
  return os::supervise({.folder = words.back(), .delegated = delegated});
}

}  // namespace riverbox::applets
