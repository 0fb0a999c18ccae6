// Tasks without a container (container name "NULL"): commands of this machine, each with a supervisor (os/supervised.hpp) that this process neither owns nor needs. An `id` is
// the name of a folder below <state_dir>/host-tasks/<node>.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/task.hpp"
#include "os/supervised.hpp"
#include "runner/attempt_id.hpp"
#include "runner/container_spec.hpp"
#include "runner/runtime.hpp"

namespace riverbox::runner {

struct HostTaskOptions {
  bool allowed = false;  // [runner] allow_host_tasks
  std::string user;      // who they run as; empty: as the runner
};

// Pure. /shared and /local_temp, and what is below them, become the folders that a container sees there. Throws docker::ResourceAllocationError when the NUMA node does not exist here.
os::SupervisedCommand host_command(const TaskSpec& task, const NodeFacts& facts, const HostTaskOptions& options);

class HostProcesses final : public Runtime {
public:
  HostProcesses(std::filesystem::path folder, NodeFacts facts, HostTaskOptions options);

  std::string id_of(const AttemptId& attempt) const;
  // Of an earlier run of the runner; nullopt: it was not made.
  std::optional<docker::Container> find(const AttemptId& attempt);
  // Made, not started. Throws Forbidden when this node does not allow it.
  docker::Container make(const TaskSpec& task);
  // What lies there that no attempt knows and that has ended, is removed. Never throws.
  void remove_leftovers(const std::function<bool(const std::string& id)>& is_known);

  docker::ContainerState state(const std::string& id) override;
  void start(const std::string& id) override;
  void signal(const std::string& id, const std::string& name) override;
  void pause(const std::string& id) override { set_paused(id, true); }
  void unpause(const std::string& id) override { set_paused(id, false); }
  void wait(const std::string& id, const CancelToken& cancel) override;
  void follow(const std::string& id, const CancelToken& cancel, const Sink& sink) override;
  void remove(const std::string& id) override;

private:
  os::Supervised at(const std::string& id) const { return os::Supervised(folder_ / id); }
  docker::Container container(const std::string& id);
  void set_paused(const std::string& id, bool paused);

  const std::filesystem::path folder_;
  const NodeFacts facts_;
  const HostTaskOptions options_;
};

}  // namespace riverbox::runner
