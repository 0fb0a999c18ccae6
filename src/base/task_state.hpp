// The states of a task, and which may follow which.
#pragma once
#include <string_view>
#include <vector>

namespace riverbox {

enum class TaskState { pending, assigning, syncing, running, paused, completed, failed, killed, killed_oom, lost, stopped };
std::string_view to_string(TaskState state);
TaskState parse_task_state(std::string_view text);  // throws InvalidInput that lists them
// It has ended; only "lost" may still turn out to be something else.
bool is_final(TaskState state);
const std::vector<TaskState>& all_states();
const std::vector<TaskState>& unfinished_states();

// The table. A state may follow itself: its message or its times are told anew.
bool may_follow(TaskState from, TaskState to);
// All that `to` may follow, for a compare-and-set.
std::vector<TaskState> sources_of(TaskState to);

}  // namespace riverbox
