#include <doctest/doctest.h>

#include <algorithm>

#include "base/strings.hpp"
#include "store/task_rows.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

struct Wanted {
  std::string node = "n1", owner = "anna", environment = "torch", name = "", command = "true";
  std::vector<std::string> arguments = {};
  TaskState state = TaskState::completed;
};

TaskRecord listed(std::uint64_t id, const Wanted& wanted) {
  TaskRecord record;
  record.spec.id = TaskId(id);
  record.spec.name = wanted.name;
  record.spec.command = wanted.command;
  record.spec.arguments = wanted.arguments;
  record.spec.environment = wanted.environment;
  record.batch_id = std::to_string(id);
  record.node = wanted.node;
  record.owner = wanted.owner;
  record.state = wanted.state;
  record.submitted_at = "2026-11-21T23:10:12.000000000Z";
  return record;
}

struct Lists {
  Database db{":memory:", kHostMigrations};
  TaskRepository tasks{db};
  std::vector<std::uint64_t> ids(const TaskQuery& query) {
    std::vector<std::uint64_t> out;
    for (const auto& found : tasks.list(query)) out.push_back(found.spec.id.value());
    return out;
  }
};

using TaskIds = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE_FIXTURE(Lists, "a list shows what all filters let through, newest first") {
  using enum TaskState;
  tasks.insert({listed(1, {.state = running}), listed(2, {.node = "n2", .state = running}), listed(3, {.owner = "bob", .environment = "jax"}), listed(4, {.environment = "jax", .state = failed}),
                listed(5, {.node = "", .state = pending}), listed(6, {.owner = "bob", .state = running})});
  CHECK(ids({}) == TaskIds{6, 5, 4, 3, 2, 1});
  CHECK(ids({.states = {running}}) == TaskIds{6, 2, 1});
  CHECK(ids({.states = {failed, running, failed}}) == TaskIds{6, 4, 2, 1});
  CHECK(ids({.node = "n1"}) == TaskIds{6, 4, 3, 1});
  CHECK(ids({.owner = "bob"}) == TaskIds{6, 3});
  CHECK(ids({.environment = "jax"}) == TaskIds{4, 3});
  CHECK(ids({.states = {running, failed}, .owner = "anna", .node = "n1"}) == TaskIds{4, 1});
  CHECK(ids({.owner = "bob", .environment = "torch"}) == TaskIds{6});
  CHECK(ids({.node = "n'; DROP TABLE tasks; --"}).empty());
  CHECK(ids({.owner = "anna", .limit = 2}) == TaskIds{5, 4});
  CHECK(ids({.owner = "anna", .limit = 2, .offset = 2}) == TaskIds{2, 1});
  CHECK(ids({.before = TaskId(3)}) == TaskIds{2, 1});
  CHECK(ids({.owner = "anna", .before = TaskId(5), .limit = 1}) == TaskIds{4});
  CHECK(ids({.states = {running}, .before = TaskId(1)}).empty());
}

TEST_CASE_FIXTURE(Lists, "a text is looked for in name and command, and where ids begin") {
  tasks.insert({listed(7311, {.name = "Train BIG", .command = "python a.py"}), listed(7312, {.command = "python b_c.py 50% done", .state = TaskState::running}),
                listed(8111, {.owner = "bob", .name = "x", .command = "back\\slash"}), listed(8112, {.name = "é", .command = "caf\xe9"})});
  CHECK(ids({.text = "PYTHON"}) == TaskIds{7312, 7311});
  CHECK(ids({.text = "train b"}) == TaskIds{7311});
  CHECK(ids({.text = "b_c"}) == TaskIds{7312});
  CHECK(ids({.text = "a_py"}).empty());  // no pattern
  CHECK(ids({.text = "0% d"}) == TaskIds{7312});
  CHECK(ids({.text = "%"}) == TaskIds{7312});
  CHECK(ids({.text = "k\\s"}) == TaskIds{8111});
  CHECK(ids({.text = "é"}) == TaskIds{8112});
  CHECK(ids({.text = "73"}) == TaskIds{7312, 7311});
  CHECK(ids({.text = "7312"}) == TaskIds{7312});
  CHECK(ids({.text = "311"}).empty());
  CHECK(ids({.text = "50"}) == TaskIds{7312});
  CHECK(ids({.states = {TaskState::running}, .text = "python"}) == TaskIds{7312});
  CHECK(ids({.owner = "bob", .text = "a"}) == TaskIds{8111});
  CHECK(ids({.text = "python", .before = TaskId(7312)}) == TaskIds{7311});
  CHECK(ids({.text = "a", .limit = 1, .offset = 1}) == TaskIds{8111});
}

TEST_CASE_FIXTURE(Lists, "a text is looked for in the arguments, of which the first 4 KiB count") {
  const std::string many(4093, 'x');
  tasks.insert({listed(1, {.command = "/bin/sh", .arguments = {"-c", "python Train.py"}}), listed(2, {.command = "echo", .arguments = {many + "é", "late"}}), listed(3, {.arguments = {"caf\xe9"}}),
                listed(4, {.command = many + many + "command"})});
  CHECK(ids({.text = "train"}) == TaskIds{1});
  CHECK(ids({.text = "sh -c py"}) == TaskIds{1});
  CHECK(ids({.text = "xé"}) == TaskIds{2});
  CHECK(ids({.text = "late"}).empty());
  CHECK(ids({.text = "caf"}) == TaskIds{3});
  CHECK(ids({.text = "xcommand"}) == TaskIds{4});
  for (size_t more = 1; more < 4; ++more) tasks.insert({listed(4 + more, {.arguments = {many + std::string(more, 'y') + "é"}})});
  CHECK(ids({.text = "yé"}).empty());
  CHECK(ids({.text = "xy"}).size() == 3);
  CHECK(ids({.text = "\xEF\xBF\xBD"}) == TaskIds{3});  // U+FFFD: no character was cut
}

TEST_CASE_FIXTURE(Lists, "states are counted, of everybody or of one") {
  tasks.insert({listed(1, {}), listed(2, {.owner = "bob"}), listed(3, {.state = TaskState::lost})});
  const auto count = [](const auto& counts, TaskState wanted) {
    for (const auto& [state, number] : counts)
      if (state == wanted) return number;
    return std::uint64_t{1000};
  };
  CHECK(tasks.count_by_state().size() == all_states().size());
  CHECK(count(tasks.count_by_state(), TaskState::completed) == 2);
  CHECK(count(tasks.count_by_state("bob"), TaskState::completed) == 1);
  CHECK(count(tasks.count_by_state("bob"), TaskState::lost) == 0);
}

TEST_CASE_FIXTURE(Lists, "what is removed is not found any more") {
  auto old = listed(1, {.command = "old"});
  old.completed_at = "2020-01-01T00:00:00.000000000Z";
  tasks.insert({old, listed(2, {.command = "old"})});
  CHECK(tasks.remove_old("2021-01-01T00:00:00.000000000Z", false, 10) == 1);
  CHECK(ids({.text = "old"}) == TaskIds{2});
  db.read([](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT count(*) FROM task_texts");
    CHECK(row.step());
    CHECK(row.integer(0) == 1);
  });
}

TEST_CASE("tasks of a database of before are found, too") {
  TemporaryDir dir;
  {
    Database old(dir.path / "host.db", std::vector<std::string_view>(kHostMigrations.begin(), kHostMigrations.begin() + 10));
    old.write([](Database::Connection& c) {
      for (const char* spec : {"'{\"id\":\"5\",\"command\":\"Train\",\"environment\":\"jax\"}'", "'{\"id\":\"6\",\"command\":\"b\",\"name\":\"trainer\",\"arguments\":[]}'",
                               "'{\"id\":\"7\",\"command\":\"/bin/sh\",\"arguments\":[\"-c\",\"python train.py\"]}'"})
        c.prepare(std::string("INSERT INTO tasks (batch_id, node, state, attempt, epoch, spec, message, image_id, submitted_at, started_at, completed_at) VALUES ('5', 'n1', 'pending', 1, 1, ") +
                  spec + ", '', '', '2026-11-21T23:10:12.000000000Z', '', '')").run();
    });
  }
  Database database(dir.path / "host.db", kHostMigrations);
  TaskRepository tasks(database);
  CHECK(tasks.list({.text = "train"}).size() == 3);
  CHECK(tasks.list({.text = "sh -c py"}).size() == 1);
  CHECK(tasks.list({.environment = "jax"}).size() == 1);
  CHECK(tasks.unfinished_of("jax").size() == 1);
}

TEST_CASE("each filter has an index that gives the tasks of a state in their order") {
  TemporaryDir dir;
  Database database(dir.path / "host.db", kHostMigrations);
  TaskRepository tasks(database);
  constexpr std::uint64_t kTasks = 20'000;
  std::vector<TaskRecord> batch;
  for (std::uint64_t id = 1; id <= kTasks; ++id)
    batch.push_back(listed(id, {.node = "n" + std::to_string(id % 20), .owner = id % 2 ? "anna" : "bob", .environment = id % 3 ? "torch" : "jax"}));
  tasks.insert(batch);
  const auto lines_of_plan = [&](const TaskQuery& query) {
    std::vector<std::string> lines;
    database.read([&](Database::Connection& connection) {
      Statement row = connection.prepare("EXPLAIN QUERY PLAN " + list_statement(query));
      while (row.step()) lines.push_back(row.text(3));
    });
    return lines;
  };
  const auto leads = [&](const std::string& index, const TaskQuery& query) {
    const auto lines = lines_of_plan(query);
    const auto looks = std::count_if(lines.begin(), lines.end(), [&](const std::string& line) { return line.starts_with("SEARCH t USING COVERING INDEX " + index + "=? AND state=?"); });
    CAPTURE(join(lines, "\n"));
    CHECK(static_cast<size_t>(looks) == all_states().size());
    CHECK(std::none_of(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("SCAN ") || line.find("TEMP B-TREE") != std::string::npos; }));
  };
  leads("tasks_by_owner (owner", {.owner = "anna"});
  leads("tasks_by_node (node", {.node = "n1"});
  leads("tasks_by_environment (environment", {.environment = "jax", .before = TaskId(5000)});
  leads("tasks_by_owner (owner", {.owner = "anna", .text = "true"});
  CHECK(tasks.list({.owner = "anna", .before = TaskId(200)}).size() == 100);
  CHECK(tasks.list({.node = "n3", .environment = "jax", .limit = 1000}).size() == 334);
}
