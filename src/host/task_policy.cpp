#include "host/task_policy.hpp"

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::host {

TaskPolicy::TaskPolicy(const Config& config) : privileged_(config.docker.tasks_privileged || config.tasks.allow_privileged) {
  for (const auto& text : config.tasks.allowed_mounts) {
    try {
      mounts_.push_back(MountRule::parse(text));
    } catch (const InvalidInput& error) {
      throw ConfigError("tasks.allowed_mounts: " + error.fact(), error.next());
    }
  }
  for (const auto& text : config.docker.additional_mounts) {
    try {
      const auto mount = MountSpec::parse(text);
      mounts_.push_back({normal_path(mount.source), mount.read_only});
    } catch (const InvalidInput&) {  // every submission that uses it says so
    }
  }
}

void TaskPolicy::apply(TaskSpec& spec, Role role) const {
  spec.mount_roots.clear();
  if (role == Role::admin) return;
  if (spec.runs_on_host() && !privileged_)  // as good as a login on the node
    throw Forbidden("tasks without a container are not allowed", "Name an environment, or set allow_privileged = true below [tasks] in the configuration of the host.");
  if (spec.privileged && !privileged_)
    throw Forbidden("privileged tasks are not allowed", "Leave it out, or set allow_privileged = true below [tasks] in the configuration of the host.");
  for (auto& mount : spec.mounts) {
    mount.source = normal_path(mount.source);
    if (is_allowed(mounts_, mount.source, mount.read_only)) continue;
    const std::string source = printable(mount.source, 200);
    if (is_allowed(mounts_, mount.source, true))
      throw Forbidden("the mount of " + source + " is only allowed read-only", "Write " + source + ":" + printable(mount.target, 200) + ":ro.");
    throw Forbidden("the mount of " + source + " is not allowed", "Leave it out, or add \"" + source + "\" to allowed_mounts below [tasks] in the configuration of the host.");
  }
  if (spec.mounts.empty()) return;
  for (const auto& rule : mounts_) spec.mount_roots.push_back(rule.str());
}

}  // namespace riverbox::host
