#include "store/vps_repository.hpp"

#include <fmt/format.h>

#include "store/event_repository.hpp"
#include "store/task_rows.hpp"

namespace riverbox::store {
namespace {

void tell(Database::Connection& connection, const TaskRecord& vps, const char* action) {
  append_event(connection, {.type = "task", .action = action, .subject = vps.spec.id.str(), .owner = vps.owner, .node = vps.node});
}

}  // namespace

std::vector<TaskRecord> VpsRepository::list(const std::optional<std::string>& user) {
  return select(user ? "IN (SELECT id FROM vpses) AND (owner=?1 OR id IN (SELECT vps FROM vps_assignments WHERE user=?1))" : "IN (SELECT id FROM vpses)", user);
}

std::vector<TaskRecord> VpsRepository::shared_with(const std::string& user) { return select("IN (SELECT vps FROM vps_assignments WHERE user=?1)", user); }

std::vector<TaskRecord> VpsRepository::select(std::string_view which, const std::optional<std::string>& user) {
  std::vector<TaskRecord> all;
  db_.read([&](Database::Connection& connection) {
    Statement rows = connection.prepare(fmt::format("SELECT {} FROM tasks WHERE id {} ORDER BY id DESC", kTaskColumns, which));
    if (user) rows.bind(*user);
    all = tasks_of(rows);
  });
  return all;
}

std::optional<TaskId> VpsRepository::named(const std::string& name) {
  std::optional<TaskId> id;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT id FROM vpses WHERE name=?");
    if (row.bind(name).step()) id = TaskId::parse(std::to_string(row.integer(0)));
  });
  return id;
}

bool VpsRepository::start_again(const TaskRecord& vps) {
  bool changed = false;
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare(
        "UPDATE tasks SET state='pending', node=?, target=?, placement='', attempt=?, spec=?, message='', exit_code=NULL, started_at='', completed_at='' "
        "WHERE id=? AND attempt=? AND completed_at <> '' AND id IN (SELECT id FROM vpses)");
    statement.bind(vps.node).bind(vps.target).bind(vps.spec.attempt).bind(as_text(vps.spec)).bind(stored(vps.spec.id)).bind(vps.spec.attempt - 1);
    statement.run();
    changed = statement.changes() > 0;
    if (changed) tell(connection, vps, "submitted");
  });
  return changed;
}

void VpsRepository::remove(const TaskRecord& vps) {
  db_.write([&](Database::Connection& connection) {
    if (!vps.node.empty()) connection.prepare("INSERT OR REPLACE INTO vps_leftovers (id, node) VALUES (?, ?)").bind(stored(vps.spec.id)).bind(vps.node).run();
    connection.prepare("DELETE FROM tasks WHERE id=?").bind(stored(vps.spec.id)).run();
    tell(connection, vps, "removed");
  });
}

std::vector<TaskId> VpsRepository::leftovers_on(const std::string& node) {
  std::vector<TaskId> ids;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT id FROM vps_leftovers WHERE node=? ORDER BY id");
    row.bind(node);
    while (row.step()) ids.push_back(TaskId::parse(std::to_string(row.integer(0))));
  });
  return ids;
}

void VpsRepository::is_gone(TaskId id) {
  db_.write([&](Database::Connection& connection) { connection.prepare("DELETE FROM vps_leftovers WHERE id=?").bind(stored(id)).run(); });
}

}  // namespace riverbox::store
