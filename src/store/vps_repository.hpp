// VPSs: tasks whose containers outlive their attempts (table `vpses` of the host's database, beside `tasks`).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "store/host_store.hpp"

namespace riverbox::store {

// A task becomes one by TaskRepository::insert(), and reports change it as they change every task.
class VpsRepository {
public:
  explicit VpsRepository(Database& db) : db_(db) {}
  // Newest first: all, or a user's own and those that are shared with him.
  std::vector<TaskRecord> list(const std::optional<std::string>& user = {});
  std::vector<TaskRecord> shared_with(const std::string& user);  // likewise
  std::optional<TaskId> named(const std::string& name);
  // Lets one that has ended wait for another start: attempt, spec and target become those of the record. Compare-and-set: false when it has another attempt by now, or has not ended.
  bool start_again(const TaskRecord& vps);
  // It is no more. What lies on its node is a leftover until is_gone().
  void remove(const TaskRecord& vps);
  std::vector<TaskId> leftovers_on(const std::string& node);
  void is_gone(TaskId id);

private:
  std::vector<TaskRecord> select(std::string_view which, const std::optional<std::string>& user);

  Database& db_;
};

}  // namespace riverbox::store
