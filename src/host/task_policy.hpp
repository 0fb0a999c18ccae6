// What tasks may have beyond their own container: privileges and folders of the nodes, by the role of the one who submits ([tasks] of the configuration).
#pragma once
#include <vector>

#include "base/config.hpp"
#include "base/identity.hpp"
#include "base/mount_rule.hpp"
#include "base/task.hpp"

namespace riverbox::host {

class TaskPolicy {
public:
  explicit TaskPolicy(const Config& config);  // throws ConfigError that names the key
  // Throws Forbidden that names the key which would allow it. What the configuration gives to every task is allowed to everybody. Sources of mounts are plain paths afterwards, and
  // the runner is told where their links may lead. Pure, thread-safe.
  void apply(TaskSpec& spec, Role role) const;

private:
  bool privileged_;
  std::vector<MountRule> mounts_;
};

}  // namespace riverbox::host
