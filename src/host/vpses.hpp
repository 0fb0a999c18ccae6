// VPSs: tasks that people live in (docs/vps.md). Every call blocks on the store and runs on the host's "state" worker.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/nodes.hpp"
#include "host/tasks.hpp"
#include "store/vps_assignments.hpp"
#include "store/vps_repository.hpp"

namespace riverbox::host {

class Vpses {
public:
  Vpses(store::VpsRepository& repository, store::VpsAssignments& assignments, Tasks& tasks, Nodes& nodes) : repository_(repository), assignments_(assignments), tasks_(tasks), nodes_(nodes) {}

  // Throws Conflict when another has that name, and as Tasks::submit() does.
  store::TaskRecord create(const Submission& submission);
  // By its id or its name, among all, or those of one user and those that are shared with him. Throws NotFound, also for a task that is no VPS.
  store::TaskRecord find(const std::string& id_or_name, const std::optional<std::string>& user);
  std::vector<store::TaskRecord> list(const std::optional<std::string>& user) { return repository_.list(user); }
  // The container stays. Throws Conflict when it is stopped.
  store::TaskRecord stop(TaskId id) { return tasks_.stop(id); }
  bool is_ending(TaskId id) { return tasks_.is_ending(tasks_.get(id)); }
  // What a start begins with. Nothing said: the container that the VPS had.
  struct Beginning {
    std::optional<std::int64_t> snapshot = {};
    bool fresh = false;    // its environment
    bool discard = false;  // of what the container holds no snapshot is taken
  };
  // Throws Conflict unless it is stopped.
  store::TaskRecord start(TaskId id, const Beginning& beginning);
  // Its container goes, now or when its node is back. Throws Conflict when it runs.
  void remove(TaskId id);
  // Others come in and use it as its owner does, but neither remove it nor let anybody in.
  void share(const store::TaskRecord& vps, const std::vector<std::string>& users);
  // Throws NotFound for one with whom it is not shared.
  void unshare(const store::TaskRecord& vps, const std::string& user);
  bool is_shared_with(const store::TaskRecord& task, const std::string& user) { return task.spec.vps && !user.empty() && assignments_.has(task.spec.id, user); }
  std::vector<store::VpsAssignment> guests_of(TaskId id) { return assignments_.of(id); }  // oldest first
  std::vector<store::TaskRecord> shared_with(const std::string& user) { return repository_.shared_with(user); }
  // A node has come: what was removed meanwhile goes.
  void clean(const std::string& node);

  static constexpr size_t kLongestName = 63;
  // As a host name: people give it to ssh.
  static bool is_name(std::string_view name);
  // What stands in paths where a name could, so that no VPS is called so: /vps/status, /vps/stop/{id}, /vps/{id}/assign.
  static bool is_reserved(std::string_view name);

private:
  void clean(const std::string& node, TaskId id);

  store::VpsRepository& repository_;
  store::VpsAssignments& assignments_;
  Tasks& tasks_;
  Nodes& nodes_;
};

}  // namespace riverbox::host
