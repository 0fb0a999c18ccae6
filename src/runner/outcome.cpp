#include "runner/outcome.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>

#include "base/strings.hpp"

namespace riverbox::runner {
namespace {

std::string explain(const docker::ContainerState& state, bool in_container) {
  int code = state.exit_code;
  if (!state.error.empty()) return fmt::format("Exit code {}: {}", code, printable(state.error));
  if (code == 126) return "Exit code 126: the command could not be executed; see the error output.";
  if (code == 127) return fmt::format("Exit code 127: the command was not found {}; see the error output.", in_container ? "in the environment" : "on the node");
  if (code == 137 && !in_container) return "Exit code 137: ended from outside by SIGKILL (kill -9, or the machine ran out of memory).";
  if (code == 255 && in_container) return "Exit code 255, which is also what Docker reports when the machine went down under the task.";
  if (code == 137) return "Exit code 137: ended from outside by SIGKILL (docker kill, or the machine ran out of memory).";
  const char* name = code > 128 && code < 128 + 65 ? sigabbrev_np(code - 128) : nullptr;
  if (name) return fmt::format("Exit code {}: ended by SIG{}.", code, name);
  return fmt::format("Exit code {}.", code);
}

}  // namespace

std::pair<TaskState, std::string> judge(const docker::ContainerState& state, bool kill_requested, bool in_container) {
  if (kill_requested) return {TaskState::killed, "Killed on request."};
  // The flag also tells of a child that was killed while the task itself ended well: then the task is right.
  if (state.oom_killed && state.exit_code != 0) return {TaskState::killed_oom, "Killed by the kernel: it used more memory than its limit. Ask for more with --memory."};
  if (state.exit_code == 0 && state.error.empty()) return {TaskState::completed, {}};
  return {TaskState::failed, explain(state, in_container)};
}

std::string progress_text(std::string_view step, std::uint64_t bytes, std::uint64_t total_bytes) {
  if (bytes == 0 && total_bytes == 0) return std::string(step);
  if (total_bytes == 0) return fmt::format("{} ({})", step, human_bytes(bytes));
  auto percent = static_cast<int>(static_cast<double>(std::min(bytes, total_bytes)) * 100.0 / static_cast<double>(total_bytes));
  return fmt::format("{} {} % ({} of {})", step, percent, human_bytes(bytes), human_bytes(total_bytes));
}

std::string join_sentences(std::string_view first, std::string_view second) {
  std::string out(first);
  if (!out.empty() && !second.empty()) out += ' ';
  out += second;
  return out;
}

}  // namespace riverbox::runner
