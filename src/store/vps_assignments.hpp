// Whom the owners of VPSs have let in (table `vps_assignments` of the host's database). They go with their VPS.
#pragma once
#include <string>
#include <vector>

#include "store/database.hpp"
#include "store/host_store.hpp"

namespace riverbox::store {

struct VpsAssignment {
  std::string user, assigned_at;  // RFC 3339
};

class VpsAssignments {
public:
  explicit VpsAssignments(Database& db) : db_(db) {}
  // All or none. Who is in already stays so since then.
  void add(const TaskRecord& vps, const std::vector<std::string>& users, const std::string& now);
  // False: that one was not in.
  bool remove(const TaskRecord& vps, const std::string& user);
  bool has(TaskId vps, const std::string& user);
  std::vector<VpsAssignment> of(TaskId vps);  // oldest first

private:
  Database& db_;
};

}  // namespace riverbox::store
