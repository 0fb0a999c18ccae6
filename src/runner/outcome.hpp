// What a task's end is called and what its user is told. Pure functions.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/task.hpp"
#include "docker/engine.hpp"

namespace riverbox::runner {

// Of a container that has ended, or of a process of the node, which is described as one. The message is empty for a task that completed.
std::pair<TaskState, std::string> judge(const docker::ContainerState& state, bool kill_requested, bool in_container = true);

// "loading 43 % (640.0 MB of 1.5 GB)"; without a total only the bytes, without bytes only the step.
std::string progress_text(std::string_view step, std::uint64_t bytes, std::uint64_t total_bytes);

std::string join_sentences(std::string_view first, std::string_view second);

}  // namespace riverbox::runner
