// Work that may never come back, such as a look at a share whose server has gone: each piece in a process of its own, because a thread that waits in the
// kernel would keep this process from ending.
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace riverbox::os {

// Runs all of them at once and returns what they have returned, in order; nullopt: it did not come within `limit`, or the process died. What is still
// going on then is killed, and when even that is in vain, left alone: it holds nothing of ours open. The caller must have no other threads.
std::vector<std::optional<std::string>> run_isolated(const std::vector<std::function<std::string()>>& work, std::chrono::milliseconds limit);

}  // namespace riverbox::os
