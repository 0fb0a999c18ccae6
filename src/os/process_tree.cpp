#include "os/process_tree.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <map>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::os {
namespace {

struct Status {
  pid_t parent = 0;
  char state = 'Z';
};

// "12 (any (name) 1) S 4 ...": what follows the last parenthesis.
Status status_of(pid_t pid) {
  try {
    const std::string text = read_file(fmt::format("/proc/{}/stat", pid));
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos || name_end + 4 > text.size()) return {};
    const auto fields = split(text.substr(name_end + 2), ' ');
    return {static_cast<pid_t>(parse_u64(fields.size() > 1 ? fields[1] : "").value_or(0)), fields[0].empty() ? 'Z' : fields[0][0]};
  } catch (const Error&) {
    return {};  // it has just ended
  }
}

}  // namespace

std::vector<pid_t> descendants() {
  std::multimap<pid_t, pid_t> children;
  DIR* const proc = ::opendir("/proc");
  if (!proc) return {};
  while (const dirent* entry = ::readdir(proc)) {
    const auto number = parse_u64(entry->d_name);
    if (!number) continue;
    const auto pid = static_cast<pid_t>(*number);
    if (const Status status = status_of(pid); status.state != 'Z' && status.state != 'X') children.emplace(status.parent, pid);
  }
  ::closedir(proc);
  std::vector<pid_t> found;
  const auto add_children_of = [&](pid_t parent) {
    for (auto [at, end] = children.equal_range(parent); at != end; ++at) found.push_back(at->second);
  };
  add_children_of(::getpid());
  for (size_t i = 0; i < found.size(); ++i) add_children_of(found[i]);
  return found;
}

}  // namespace riverbox::os
