#include "store/vps_assignments.hpp"

#include "store/event_repository.hpp"
#include "store/task_rows.hpp"

namespace riverbox::store {
namespace {

void append(Database::Connection& connection, const TaskRecord& vps, const char* action, std::string message) {
  append_event(connection, {.type = "task", .action = action, .subject = vps.spec.id.str(), .owner = vps.owner, .node = vps.node, .message = std::move(message)});
}

}  // namespace

void VpsAssignments::add(const TaskRecord& vps, const std::vector<std::string>& users, const std::string& now) {
  db_.write([&](Database::Connection& connection) {
    for (const auto& user : users) {
      Statement statement = connection.prepare("INSERT INTO vps_assignments (vps, user, assigned_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
      statement.bind(stored(vps.spec.id)).bind(user).bind(now).run();
      if (statement.changes() > 0) append(connection, vps, "shared", "with " + user);
    }
  });
}

bool VpsAssignments::remove(const TaskRecord& vps, const std::string& user) {
  bool removed = false;
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare("DELETE FROM vps_assignments WHERE vps=? AND user=?");
    statement.bind(stored(vps.spec.id)).bind(user).run();
    removed = statement.changes() > 0;
    if (removed) append(connection, vps, "unshared", "with " + user + " no more");
  });
  return removed;
}

bool VpsAssignments::has(TaskId vps, const std::string& user) {
  bool found = false;
  db_.read([&](Database::Connection& connection) { found = connection.prepare("SELECT 1 FROM vps_assignments WHERE vps=? AND user=?").bind(stored(vps)).bind(user).step(); });
  return found;
}

std::vector<VpsAssignment> VpsAssignments::of(TaskId vps) {
  std::vector<VpsAssignment> all;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT user, assigned_at FROM vps_assignments WHERE vps=? ORDER BY assigned_at, user");
    for (row.bind(stored(vps)); row.step();) all.push_back({row.text(0), row.text(1)});
  });
  return all;
}

}  // namespace riverbox::store
