#include "store/host_store.hpp"

#include <fmt/format.h>

#include <set>

#include "base/time.hpp"
#include "store/event_repository.hpp"
#include "store/task_rows.hpp"

namespace riverbox::store {
namespace {

// Everything that is asked for or changed by itself has a column; the rest of the task is its JSON. The unfinished are
// few among many: both indices lead to them.
constexpr std::string_view kSchema1 = R"(
CREATE TABLE nodes (
  hostname            TEXT PRIMARY KEY,
  total_cores         INTEGER NOT NULL,
  total_memory_bytes  INTEGER NOT NULL,
  numa_json           TEXT NOT NULL,
  gpu_json            TEXT NOT NULL,
  version             TEXT NOT NULL,
  last_seen           TEXT NOT NULL,
  epoch               INTEGER NOT NULL
) STRICT;
CREATE TABLE tasks (
  id            INTEGER PRIMARY KEY,
  batch_id      TEXT NOT NULL,
  node          TEXT NOT NULL,
  state         TEXT NOT NULL,
  attempt       INTEGER NOT NULL,
  epoch         INTEGER NOT NULL,
  spec          TEXT NOT NULL,
  exit_code     INTEGER,
  message       TEXT NOT NULL,
  image_id      TEXT NOT NULL,
  submitted_at  TEXT NOT NULL,
  started_at    TEXT NOT NULL,
  completed_at  TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_by_state ON tasks (state, id);
CREATE INDEX tasks_by_node ON tasks (node, state);
CREATE TABLE publications (
  name               TEXT PRIMARY KEY,
  container          TEXT NOT NULL,
  previous_image_id  TEXT NOT NULL,
  was_running        INTEGER NOT NULL
) STRICT;
)";

// Nothing is tagged before it is published any more: there is no tag to restore.
constexpr std::string_view kSchema2 = "ALTER TABLE publications DROP COLUMN previous_image_id";

// Which version of its environment a task ran in.
constexpr std::string_view kSchema3 = "ALTER TABLE tasks ADD COLUMN tarball TEXT NOT NULL DEFAULT ''";

// Why a task runs where it does.
constexpr std::string_view kSchema4 = "ALTER TABLE tasks ADD COLUMN placement TEXT NOT NULL DEFAULT ''";

// What clients call their submissions, so that one that is repeated makes no second task.
constexpr std::string_view kSchema5 = R"(
CREATE TABLE submissions (client_id TEXT PRIMARY KEY, batch_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_batch ON tasks (batch_id);
)";

// Nodes that are being emptied. And the node that a task was asked for, beside the one it got: another attempt may go elsewhere.
constexpr std::string_view kSchema6 = R"(
ALTER TABLE nodes ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN target TEXT NOT NULL DEFAULT '';
UPDATE tasks SET target = node WHERE state = 'pending';
)";

// What a task that waits prefers is known after a restart, too. And which tasks have ended, and whether their output is still there, for those who remove what is old.
constexpr std::string_view kSchema7 = R"(
ALTER TABLE tasks ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN output_removed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tasks_by_end ON tasks (output_removed, completed_at) WHERE completed_at <> '';
CREATE INDEX submissions_by_batch ON submissions (batch_id);
)";

// Who may do what, and whose a task is.
constexpr std::string_view kSchema8 = R"(
CREATE TABLE tokens (
  id            TEXT PRIMARY KEY,
  hash          TEXT NOT NULL UNIQUE,
  user          TEXT NOT NULL,
  role          TEXT NOT NULL,
  note          TEXT NOT NULL,
  created_at    TEXT NOT NULL,
  expires_at    TEXT NOT NULL,
  last_used_at  TEXT NOT NULL
) STRICT;
ALTER TABLE tasks ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX tasks_by_owner ON tasks (owner, id);
)";

// Sessions of browsers.
constexpr std::string_view kSchema9 = R"(
ALTER TABLE tokens ADD COLUMN parent TEXT NOT NULL DEFAULT '';
)";

// What has happened.
constexpr std::string_view kSchema10 = R"(
CREATE TABLE events (
  id       INTEGER PRIMARY KEY,
  time     INTEGER NOT NULL,
  type     TEXT NOT NULL,
  action   TEXT NOT NULL,
  subject  TEXT NOT NULL,
  owner    TEXT NOT NULL,
  node     TEXT NOT NULL,
  message  TEXT NOT NULL
) STRICT;
)";

// Lists of one environment's tasks, and of one owner's, by state and newest first. And what people search in, apart from the rest: a look through it reads a tenth of the table.
constexpr std::string_view kSchema11 = R"(
ALTER TABLE tasks ADD COLUMN environment TEXT NOT NULL DEFAULT '';
UPDATE tasks SET environment = coalesce(json_extract(spec, '$.environment'), '') WHERE json_valid(spec);
CREATE INDEX tasks_by_environment ON tasks (environment, state);
DROP INDEX tasks_by_owner;
CREATE INDEX tasks_by_owner ON tasks (owner, state);
CREATE TABLE task_texts (id INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE, text TEXT NOT NULL) STRICT;
INSERT INTO task_texts SELECT id, coalesce(json_extract(spec, '$.name'), '') || char(10) || coalesce(json_extract(spec, '$.command'), '') ||
  coalesce(substr((SELECT group_concat(' ' || value, '') FROM json_each(spec, '$.arguments')), 1, 4096), '') FROM tasks WHERE json_valid(spec);
)";

// Which tasks are VPSs, and what of removed ones still lies on nodes that were away.
constexpr std::string_view kSchema12 = R"(
CREATE TABLE vpses (id INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE, name TEXT UNIQUE) STRICT;
CREATE TABLE vps_leftovers (id INTEGER PRIMARY KEY, node TEXT NOT NULL) STRICT;
)";

// Whom the owners of VPSs have let in.
constexpr std::string_view kSchema13 = R"(
CREATE TABLE vps_assignments (
  vps          INTEGER NOT NULL REFERENCES vpses (id) ON DELETE CASCADE,
  user         TEXT NOT NULL,
  assigned_at  TEXT NOT NULL,
  PRIMARY KEY (vps, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX vps_assignments_by_user ON vps_assignments (user);
)";

// "'running','paused'": state names are ours, so they need no parameters, and the text is one of a few.
std::string sql_list(const std::vector<TaskState>& states) {
  std::string list;
  for (const TaskState state : states) list += fmt::format("{}'{}'", list.empty() ? "" : ",", to_string(state));
  return list;
}

const std::string& is_unfinished() {
  static const std::string condition = "state IN (" + sql_list(unfinished_states()) + ")";
  return condition;
}

}  // namespace

const std::vector<std::string_view> kHostMigrations{kSchema1, kSchema2, kSchema3, kSchema4, kSchema5, kSchema6, kSchema7, kSchema8, kSchema9, kSchema10, kSchema11, kSchema12, kSchema13};

// ---- nodes

// One that was removed and comes back goes on counting: nothing of its former life passes for new.
std::int64_t NodeRepository::upsert_and_advance_epoch(const NodeRecord& node, bool comes_online) {
  std::int64_t epoch = 0;
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare(
        "INSERT INTO nodes (hostname, total_cores, total_memory_bytes, numa_json, gpu_json, version, last_seen, epoch) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, CASE WHEN EXISTS (SELECT 1 FROM nodes WHERE hostname=?1) THEN 1 ELSE 1 + coalesce((SELECT max(epoch) FROM tasks WHERE node=?1), 0) END) "
        "ON CONFLICT (hostname) DO UPDATE SET total_cores=excluded.total_cores, "
        "total_memory_bytes=excluded.total_memory_bytes, numa_json=excluded.numa_json, gpu_json=excluded.gpu_json, "
        "version=excluded.version, last_seen=excluded.last_seen, epoch=epoch+1 RETURNING epoch");
    statement.bind(node.hostname).bind(node.total_cores).bind(stored(node.total_memory_bytes)).bind(node.numa_json);
    statement.bind(node.gpu_json).bind(node.version).bind(node.last_seen);
    if (statement.step()) epoch = statement.integer(0);
    statement.run();
    if (comes_online) append_event(connection, {.type = "node", .action = "online", .subject = node.hostname});
  });
  return epoch;
}

void NodeRepository::record(const std::string& hostname, bool online, const std::string& why) {
  db_.write([&](Database::Connection& connection) {
    append_event(connection, {.type = "node", .action = online ? "online" : "offline", .subject = hostname, .message = why});
  });
}

void NodeRepository::set_draining(const std::string& hostname, bool draining) {
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare("UPDATE nodes SET draining=?1 WHERE hostname=?2 AND draining<>?1");
    statement.bind(draining ? 1 : 0).bind(hostname).run();
    if (statement.changes() > 0) append_event(connection, {.type = "node", .action = draining ? "drained" : "resumed", .subject = hostname});
  });
}

void NodeRepository::remove(const std::string& hostname) {
  db_.write([&](Database::Connection& connection) {
    connection.prepare("DELETE FROM nodes WHERE hostname=?").bind(hostname).run();
    append_event(connection, {.type = "node", .action = "removed", .subject = hostname});
  });
}

std::vector<NodeRecord> NodeRepository::all() {
  std::vector<NodeRecord> nodes;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare(
        "SELECT hostname, total_cores, total_memory_bytes, numa_json, gpu_json, version, last_seen, epoch, draining FROM nodes ORDER BY hostname");
    while (row.step())
      nodes.push_back({row.text(0), static_cast<int>(row.integer(1)), static_cast<std::uint64_t>(row.integer(2)), row.text(3), row.text(4),
                       row.text(5), row.text(6), row.integer(7), row.integer(8) != 0});
  });
  return nodes;
}

// ---- tasks

namespace {

void run_insert(Database::Connection& connection, const TaskRecord& task) {
  Statement statement = connection.prepare(
      "INSERT INTO tasks (id, batch_id, node, state, attempt, epoch, spec, exit_code, message, image_id, submitted_at, started_at, "
      "completed_at, placement, target, fingerprint, owner, environment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  statement.bind(stored(task.spec.id)).bind(task.batch_id).bind(task.node).bind(to_string(task.state));
  statement.bind(task.spec.attempt).bind(task.spec.epoch).bind(as_text(task.spec));
  statement.bind(task.exit_code ? std::optional<std::int64_t>(*task.exit_code) : std::nullopt);
  statement.bind(task.message).bind(task.image_id).bind(task.submitted_at).bind(task.started_at).bind(task.completed_at);
  statement.bind(task.placement).bind(task.target).bind(task.fingerprint).bind(task.owner).bind(task.spec.environment);
  statement.run();
  connection.prepare("INSERT INTO task_texts (id, text) VALUES (?, ?)").bind(stored(task.spec.id)).bind(searched_text(task.spec)).run();
  if (!task.spec.vps) return;
  const auto name = task.spec.name.empty() ? std::nullopt : std::optional(task.spec.name);
  connection.prepare("INSERT INTO vpses (id, name) VALUES (?, ?)").bind(stored(task.spec.id)).bind(name).run();
}

void tell(Database::Connection& connection, const TaskRecord& task, const char* action, std::string message) {
  append_event(connection, {.type = "task", .action = action, .subject = task.spec.id.str(), .owner = task.owner, .node = task.node, .message = std::move(message)});
}

// What a change of state is called. Null: nobody is told, as of the steps before the start.
const char* change_of(TaskState from, TaskState to) {
  using enum TaskState;
  if (from == to) return nullptr;
  if (to == running) return from == paused ? "resumed" : from == lost ? "found" : "started";
  if (to == paused) return "paused";
  if (to == lost) return "lost";
  return is_final(to) ? "ended" : nullptr;
}

// "failed, exit code 3: Exit code 3."
std::string ending_of(const TaskReport& report) {
  std::string text(to_string(report.state));
  if (report.exit_code && *report.exit_code != 0) text += fmt::format(", exit code {}", *report.exit_code);
  return report.message.empty() ? text : text + ": " + report.message;
}

}  // namespace

void TaskRepository::insert(const std::vector<TaskRecord>& batch, const std::string& client_id) {
  db_.write([&](Database::Connection& connection) {
    if (!client_id.empty() && !batch.empty())
      connection.prepare("INSERT INTO submissions (client_id, batch_id) VALUES (?, ?)").bind(client_id).bind(batch.front().batch_id).run();
    for (const TaskRecord& task : batch) {
      run_insert(connection, task);
      tell(connection, task, "submitted", task.spec.registry_image.empty() ? task.spec.environment : task.spec.registry_image);
      if (task.state == TaskState::assigning) tell(connection, task, "placed", task.placement);
    }
  });
}

std::vector<TaskId> TaskRepository::add_missing(const std::vector<TaskRecord>& tasks) {
  std::vector<TaskId> added;
  db_.write([&](Database::Connection& connection) {
    for (const TaskRecord& task : tasks) {
      Statement known = connection.prepare("SELECT 1 FROM tasks WHERE id=?");
      if (known.bind(stored(task.spec.id)).step()) continue;
      run_insert(connection, task);
      added.push_back(task.spec.id);
    }
  });
  return added;
}

std::optional<TaskRecord> TaskRepository::find(TaskId id) {
  std::optional<TaskRecord> task;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare(fmt::format("SELECT {} FROM tasks WHERE id=?", kTaskColumns));
    row.bind(stored(id));
    if (row.step()) task = task_of(row);
  });
  return task;
}

std::vector<TaskRecord> TaskRepository::where(const std::string& condition, const std::optional<std::string>& value) {
  std::vector<TaskRecord> tasks;
  db_.read([&](Database::Connection& connection) {
    Statement rows = connection.prepare(fmt::format("SELECT {} FROM tasks WHERE {} ORDER BY id", kTaskColumns, condition));
    if (value) rows.bind(*value);
    tasks = tasks_of(rows);
  });
  return tasks;
}

std::vector<TaskRecord> TaskRepository::submitted_as(const std::string& client_id) {
  return where("batch_id = (SELECT batch_id FROM submissions WHERE client_id=?)", client_id);
}

std::vector<TaskRecord> TaskRepository::of_batch(const std::string& batch_id) { return where("batch_id=?", batch_id); }

std::vector<TaskRecord> TaskRepository::unfinished() { return where(is_unfinished()); }

std::vector<TaskRecord> TaskRepository::unfinished_on(const std::string& node) { return where("node=? AND " + is_unfinished(), node); }

std::vector<TaskRecord> TaskRepository::unfinished_of(const std::string& environment) {
  return where(is_unfinished() + " AND environment = ?", environment);
}

std::vector<TaskId> TaskRepository::assign(const std::vector<TaskRecord>& batch) {
  std::vector<TaskId> assigned;
  db_.write([&](Database::Connection& connection) {
    for (const TaskRecord& task : batch) {
      Statement statement = connection.prepare("UPDATE tasks SET state='assigning', node=?, placement=?, epoch=?, spec=? WHERE id=? AND state='pending'");
      statement.bind(task.node).bind(task.placement).bind(task.spec.epoch).bind(as_text(task.spec)).bind(stored(task.spec.id));
      statement.run();
      if (statement.changes() == 0) continue;
      assigned.push_back(task.spec.id);
      tell(connection, task, "placed", task.placement);
    }
  });
  return assigned;
}

bool TaskRepository::requeue(const TaskRecord& task) {
  bool changed = false;
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare(
        fmt::format("UPDATE tasks SET state='pending', node=target, placement='', attempt=?, spec=?, message=?, exit_code=NULL, image_id='', tarball='', started_at='', "
                    "completed_at='', output_removed=0 WHERE id=? AND attempt=? AND state IN ({})",
                    sql_list(sources_of(TaskState::pending))));
    statement.bind(task.spec.attempt).bind(as_text(task.spec)).bind(task.message).bind(stored(task.spec.id)).bind(task.spec.attempt - 1);
    statement.run();
    changed = statement.changes() > 0;
    if (changed) tell(connection, task, "retried", task.message);
  });
  return changed;
}

std::vector<std::string> TaskRepository::nodes_that_used(const std::string& environment, const std::string& since) {
  std::vector<std::string> nodes;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT DISTINCT node FROM tasks WHERE submitted_at >= ? AND environment = ? ORDER BY node");
    row.bind(since).bind(environment);
    while (row.step()) nodes.push_back(row.text(0));
  });
  return nodes;
}

bool TaskRepository::transition(TaskId id, const std::vector<TaskState>& from, const TaskReport& to) {
  if (from.empty()) return false;
  const std::string now = to_rfc3339(wall_now());
  // The reporter's times are kept when it tells them: it was there. A task that comes back ("lost", then found) is not
  // completed any more. The progress of a sync ("loading 43 %") ends with it.
  const bool started = to.state == TaskState::running || !to.started_at.empty();
  const std::string started_at = !started ? "" : to.started_at.empty() ? now : to.started_at;
  const std::string completed_at = !is_final(to.state) ? "" : to.completed_at.empty() ? now : to.completed_at;
  bool changed = false;
  db_.write([&](Database::Connection& connection) {
    EventRecord event{.type = "task", .action = {}, .subject = id.str()};
    if (Statement before = connection.prepare("SELECT state, owner, node FROM tasks WHERE id=?"); before.bind(stored(id)).step()) {
      if (const char* change = change_of(parse_task_state(before.text(0)), to.state)) event.action = change;
      event.owner = before.text(1);
      event.node = before.text(2);
    }
    Statement statement = connection.prepare(
        fmt::format("UPDATE tasks SET state=?1, exit_code=coalesce(?2, exit_code), "
                    "message=iif(?3 <> '' OR (state = 'syncing' AND ?1 <> 'syncing'), ?3, message), "
                    "image_id=iif(?4 <> '', ?4, image_id), started_at=iif(started_at = '', ?5, started_at), completed_at=?6, "
                    "tarball=iif(?10 <> '', ?10, tarball), output_removed=iif(?6 = '', 0, output_removed) "
                    "WHERE id=?7 AND attempt=?8 AND epoch=?9 AND state IN ({})",
                    sql_list(from)));
    statement.bind(to_string(to.state)).bind(to.exit_code ? std::optional<std::int64_t>(*to.exit_code) : std::nullopt);
    statement.bind(to.message).bind(to.image_id).bind(started_at).bind(completed_at);
    statement.bind(stored(id)).bind(to.attempt).bind(to.epoch).bind(to.tarball);
    statement.run();
    changed = statement.changes() > 0;
    if (!changed || event.action.empty()) return;
    event.message = event.action == "ended" ? ending_of(to) : to.message;
    append_event(connection, event);
  });
  return changed;
}

// ---- what is old

std::vector<TaskRecord> TaskRepository::with_old_output(const std::string& ended_before, const OldOutput& after, int most) {
  std::vector<TaskRecord> tasks;
  db_.read([&](Database::Connection& connection) {
    Statement rows = connection.prepare(
        fmt::format("SELECT {} FROM tasks WHERE id NOT IN (SELECT id FROM vpses) AND output_removed = 0 AND completed_at <> '' AND completed_at < ? AND (completed_at, id) > (?, ?) AND NOT {} ORDER BY completed_at, id LIMIT ?", kTaskColumns, is_unfinished()));
    rows.bind(ended_before).bind(after.completed_at).bind(stored(after.id)).bind(most);
    tasks = tasks_of(rows);
  });
  return tasks;
}

void TaskRepository::output_is_removed(const std::vector<TaskId>& ids) {
  db_.write([&](Database::Connection& connection) {
    for (const TaskId id : ids) connection.prepare("UPDATE tasks SET output_removed = 1 WHERE id=?").bind(stored(id)).run();
  });
}

size_t TaskRepository::remove_old(const std::string& ended_before, bool only_without_output, int most) {
  size_t removed = 0;
  db_.write([&](Database::Connection& connection) {
    std::set<std::string> batches;
    {
      Statement row = connection.prepare(
          fmt::format("DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE id NOT IN (SELECT id FROM vpses) AND output_removed IN ({1}) AND completed_at <> '' AND completed_at < ? AND NOT {0} AND id NOT IN "
                      "(SELECT CAST(after.value AS INTEGER) FROM tasks AS follower, json_each(follower.spec, '$.after') AS after WHERE follower.{0}) LIMIT ?) RETURNING batch_id",
                      is_unfinished(), only_without_output ? "1" : "0, 1"));
      row.bind(ended_before).bind(most);
      for (; row.step(); ++removed) batches.insert(row.text(0));
    }
    for (const std::string& batch : batches)
      connection.prepare("DELETE FROM submissions WHERE batch_id=?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch_id=?1)").bind(batch).run();
  });
  return removed;
}

// ---- publications

void PublicationRepository::record(const PublicationRecord& publication) {
  db_.write([&](Database::Connection& connection) {
    connection.prepare("INSERT OR REPLACE INTO publications (name, container, was_running) VALUES (?, ?, ?)")
        .bind(publication.name)
        .bind(publication.container)
        .bind(publication.was_running ? 1 : 0)
        .run();
  });
}

void PublicationRepository::forget(const std::string& name) {
  db_.write([&](Database::Connection& connection) { connection.prepare("DELETE FROM publications WHERE name=?").bind(name).run(); });
}

std::vector<PublicationRecord> PublicationRepository::all() {
  std::vector<PublicationRecord> publications;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT name, container, was_running FROM publications ORDER BY name");
    while (row.step()) publications.push_back({row.text(0), row.text(1), row.integer(2) != 0});
  });
  return publications;
}

}  // namespace riverbox::store
