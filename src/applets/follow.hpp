// Follows running tasks over WebSockets (docs/link-protocol.md, "Following from outside") until the last one ends.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "applets/output.hpp"
#include "base/ids.hpp"

namespace riverbox::applets {

// How much of an attempt's output has been shown.
struct OutputPosition {
  std::int64_t attempt = 0;            // 0: nothing has been
  std::uint64_t bytes[2] = {0, 0};     // stdout, stderr
};

struct FollowOptions {
  std::string url, token;   // of the host
  bool show_state = true;   // a line on stderr while a task does not run yet; only on a terminal
  bool show_output = true;
  std::function<void(const Json& task)> on_status = [](const Json&) {};  // called when the state or the attempt of a task is another one than before
  OutputPosition from = {};  // with one task
};

struct FollowResult {
  std::vector<Json> tasks;   // as the host last described them, in the order asked for; null: never heard of
  bool interrupted = false;  // Ctrl-C: the tasks go on
};

// Copies the tasks' stdout to stdout and stderr to stderr: one task byte for byte, several by whole lines. A broken link is
// taken up again where it broke; after ten minutes without the host it gives up. Throws Unavailable, BrokenPipe, HostRefusal (404 ...),
// Unauthorized. Blocking.
FollowResult follow_tasks(const FollowOptions& options, const std::vector<TaskId>& ids);

// The exit status that stands for a finished task: its own code; 137 when it ran out of memory; 1 when it has no code.
int exit_status_of(const Json& task);
// Why a task that did not complete ended, for stderr; "" when it completed or has its own exit code to speak for it.
std::string ending_of(const Json& task);

// Collects bytes and gives out whole lines.
class LineJoiner {
public:
  std::string feed(std::string_view bytes);  // the complete lines so far
  std::string rest();                        // what is left at the end, with a newline
private:
  std::string pending_;
};

}  // namespace riverbox::applets
