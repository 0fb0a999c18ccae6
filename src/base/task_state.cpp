#include "base/task_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

using enum TaskState;

struct Row {
  TaskState state;
  std::string_view name;
  bool final;
  std::vector<TaskState> next;
};

// In the order of the enumeration. What a runner has seen of a task may reach the host late and after other news, so a report may skip states; it never goes back to one
// before the start, but for a new attempt, which waits. A node that comes back tells what became of a task that was called lost.
const std::array<Row, 11>& table() {
  static const std::array<Row, 11> rows{{
      {pending, "pending", false, {assigning, failed, killed, stopped}},
      {assigning, "assigning", false, {pending, assigning, syncing, running, completed, failed, killed, killed_oom, lost, stopped}},
      {syncing, "syncing", false, {pending, syncing, running, completed, failed, killed, killed_oom, lost, stopped}},
      {running, "running", false, {pending, running, paused, completed, failed, killed, killed_oom, lost, stopped}},
      {paused, "paused", false, {pending, running, completed, failed, killed, killed_oom, lost, stopped}},
      {completed, "completed", true, {}},
      {failed, "failed", true, {}},
      {killed, "killed", true, {}},
      {killed_oom, "killed_oom", true, {}},
      {lost, "lost", true, {running, paused, completed, failed, killed, killed_oom, stopped}},
      {stopped, "stopped", true, {}},
  }};
  return rows;
}

const Row& row_of(TaskState state) { return table()[static_cast<size_t>(state)]; }

}  // namespace

std::string_view to_string(TaskState state) { return row_of(state).name; }

TaskState parse_task_state(std::string_view text) {
  std::vector<std::string_view> names;
  for (const Row& row : table()) {
    if (row.name == text) return row.state;
    names.push_back(row.name);
  }
  throw InvalidInput(fmt::format("\"{}\" is not a task state", printable(text, 60)), fmt::format("The states are {}.", fmt::join(names, ", ")));
}

bool is_final(TaskState state) { return row_of(state).final; }

const std::vector<TaskState>& all_states() {
  static const std::vector<TaskState> states = [] {
    std::vector<TaskState> all;
    for (const Row& row : table()) all.push_back(row.state);
    return all;
  }();
  return states;
}

const std::vector<TaskState>& unfinished_states() {
  static const std::vector<TaskState> states = [] {
    std::vector<TaskState> found;
    for (const Row& row : table())
      if (!row.final) found.push_back(row.state);
    return found;
  }();
  return states;
}

bool may_follow(TaskState from, TaskState to) {
  const auto& next = row_of(from).next;
  return std::find(next.begin(), next.end(), to) != next.end();
}

std::vector<TaskState> sources_of(TaskState to) {
  std::vector<TaskState> sources;
  for (const Row& row : table())
    if (may_follow(row.state, to)) sources.push_back(row.state);
  return sources;
}

}  // namespace riverbox
