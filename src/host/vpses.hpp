// VPSs: tasks that people live in (docs/vps.md). Every call blocks on the store and runs on the host's "state" worker.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/nodes.hpp"
#include "host/tasks.hpp"
#include "store/vps_repository.hpp"

namespace riverbox::host {

class Vpses {
public:
  Vpses(store::VpsRepository& repository, Tasks& tasks, Nodes& nodes) : repository_(repository), tasks_(tasks), nodes_(nodes) {}

  // Throws Conflict when another has that name, and as Tasks::submit() does.
  store::TaskRecord create(const Submission& submission);
  // By its id or its name. Throws NotFound, also for a task that is no VPS.
  store::TaskRecord find(const std::string& id_or_name);
  std::vector<store::TaskRecord> list(const std::optional<std::string>& owner) { return repository_.list(owner); }
  // The container stays. Throws Conflict when it is stopped.
  store::TaskRecord stop(TaskId id) { return tasks_.stop(id); }
  bool is_ending(TaskId id) { return tasks_.is_ending(tasks_.get(id)); }
  // In the container that it had. Throws Conflict unless it is stopped.
  store::TaskRecord start(TaskId id);
  // Its container goes, now or when its node is back. Throws Conflict when it runs.
  void remove(TaskId id);
  // A node has come: what was removed meanwhile goes.
  void clean(const std::string& node);

  static constexpr size_t kLongestName = 63;
  // As a host name: people give it to ssh.
  static bool is_name(std::string_view name);

private:
  void clean(const std::string& node, TaskId id);

  store::VpsRepository& repository_;
  Tasks& tasks_;
  Nodes& nodes_;
};

}  // namespace riverbox::host
