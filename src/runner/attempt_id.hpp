// One start of a task on this runner.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/task_state.hpp"

namespace riverbox::runner {

struct AttemptId {
  TaskId task;
  int attempt = 1;
  auto operator<=>(const AttemptId&) const = default;
  std::string str() const { return task.str() + "/" + std::to_string(attempt); }
};

// As the hello lists it: the epoch is the one of the dispatch.
struct KnownAttempt {
  AttemptId id;
  std::int64_t epoch = 1;
  TaskState state = TaskState::assigning;  // as last reported
  std::vector<int> gpus = {}, cpus = {};   // that it holds: another attempt may have got others
  std::string claim = {};                  // of its dispatch
};

}  // namespace riverbox::runner
