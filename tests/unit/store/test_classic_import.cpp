#include <doctest/doctest.h>

#include "../mentions.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "store/classic_import.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

constexpr std::string_view kClassic =
    "CREATE TABLE node (hostname VARCHAR(255) PRIMARY KEY);"
    "CREATE TABLE task (task_id BIGINT PRIMARY KEY, task_type VARCHAR(255), batch_id BIGINT, command TEXT, arguments TEXT, env_vars TEXT, required_cores INTEGER, required_gpus TEXT,"
    "status VARCHAR(255), assigned_node_id VARCHAR(255), stdout_path TEXT, stderr_path TEXT, exit_code INTEGER, error_message TEXT, submitted_at DATETIME, started_at DATETIME,"
    "completed_at DATETIME, assignment_suspicion_count INTEGER, required_memory_bytes BIGINT, systemd_unit_name TEXT, target_numa_node_id INTEGER, ssh_port INTEGER,"
    "container_name TEXT, docker_image_name TEXT, docker_privileged BOOL, docker_mount_dirs TEXT);";

struct ClassicFixture {
  TemporaryDir dir;
  const std::filesystem::path file = dir.path / "classic.db";
  Database database{":memory:", kHostMigrations};
  TaskRepository tasks{database};
  Database classic{file, {kClassic}};

  void row(const std::string& columns, const std::string& values) {
    classic.write([&](Database::Connection& c) { c.prepare("INSERT INTO task (" + columns + ") VALUES (" + values + ")").run(); });
  }
};

}  // namespace

TEST_CASE_FIXTURE(ClassicFixture, "a task of HakuRiver is told as it was") {
  row("task_id, task_type, batch_id, command, arguments, env_vars, required_cores, required_gpus, status, assigned_node_id, stdout_path, stderr_path, exit_code, error_message, "
      "submitted_at, started_at, completed_at, required_memory_bytes, target_numa_node_id, container_name, docker_image_name, docker_privileged, docker_mount_dirs",
      "7530024619076485120, 'command', 7530024619076485119, 'python', '[\"x.py\", \"1\"]', '{\"A\": \"b\"}', 3, '[0, 2]', 'failed', 'node1', '/mnt/share/task_outputs/7530024619076485120.out', "
      "'/mnt/share/task_errors/7530024619076485120.err', 2, 'exit code 2', '2026-11-21 21:42:19.196402', '2026-11-21 21:42:20', NULL, 4000000000, 1, 'torch', 'hakuriver/torch:base', 1, "
      "'[\"/data:/data:ro\"]'");
  const auto result = import_classic(file, tasks);
  CHECK(result.added == 1);
  CHECK(result.problems.empty());
  const auto task = tasks.find(TaskId(7530024619076485120));
  REQUIRE(task);
  CHECK(task->state == TaskState::failed);
  CHECK(task->exit_code == 2);
  CHECK(task->message == "exit code 2");
  CHECK(task->batch_id == "7530024619076485119");
  CHECK(task->node == "node1");
  CHECK(task->spec.arguments == std::vector<std::string>{"x.py", "1"});
  CHECK(task->spec.env.at("A") == "b");
  CHECK(task->spec.gpus == std::vector{0, 2});
  CHECK(task->spec.gpu_count == 2);
  CHECK(task->spec.numa == 1);
  CHECK(task->spec.memory_bytes == 4000000000);
  CHECK(task->spec.environment == "torch");
  CHECK(task->spec.privileged);
  CHECK(task->spec.mounts.at(0).read_only);
  CHECK(task->spec.stdout_file == "task_outputs/7530024619076485120.out");
  CHECK(to_local_iso(parse_rfc3339(task->submitted_at)) == "2026-11-21T21:42:19.196402");
  CHECK(task->completed_at == task->started_at);  // retention counts from some time
}

TEST_CASE_FIXTURE(ClassicFixture, "unfinished is lost, a VPS is left out, bad rows are named, and a second time adds nothing") {
  row("task_id, status, command", "7530024619076485121, 'running', 'sleep'");
  row("task_id, status, command", "7530024619076485122, 'completed', 'true'");
  row("task_id, status, command, task_type", "7530024619076485123, 'running', '', 'vps'");
  row("task_id, status, command", "7530024619076485124, 'exploded', 'true'");
  row("task_id, status, command, arguments", "7530024619076485125, 'failed', 'true', '{not json'");
  row("task_id, status, command, completed_at", "7530024619076485126, 'failed', 'true', 'yesterday'");
  row("task_id, status, command, exit_code", "7530024619076485127, 'failed', 'true', 'abc'");
  row("task_id, status, command, required_gpus", "7530024619076485128, 'failed', 'true', '[-1]'");
  const auto result = import_classic(file, tasks);
  CHECK(result.added == 2);
  CHECK(result.lost == 1);
  CHECK(result.vps == 1);
  REQUIRE(result.problems.size() == 5);
  CHECK(mentions(result.problems[0], "task 7530024619076485124: \"exploded\""));
  CHECK(mentions(result.problems[1], "arguments is no JSON"));
  CHECK(mentions(result.problems[2], "completed_at"));
  CHECK(mentions(result.problems[3], "exit_code"));
  CHECK(mentions(result.problems[4], "required_gpus"));
  const auto lost = tasks.find(TaskId(7530024619076485121));
  REQUIRE(lost);
  CHECK(lost->state == TaskState::lost);
  CHECK(mentions(lost->message, "running when it was imported"));
  CHECK(tasks.unfinished().empty());
  CHECK(lost->submitted_at.substr(0, 4) == "2026");  // the id tells it
  CHECK(import_classic(file, tasks, "2100-01-01T00:00:00Z").old == 2);
  const auto again = import_classic(file, tasks);
  CHECK(again.added == 0);
  CHECK(again.lost == 0);
  CHECK(again.known == 2);
}

TEST_CASE("an older HakuRiver had fewer columns; another program has none of them") {
  TemporaryDir dir;
  Database database{":memory:", kHostMigrations};
  TaskRepository tasks{database};
  {
    Database old(dir.path / "old.db", {"CREATE TABLE task (task_id INTEGER PRIMARY KEY, command TEXT, status TEXT)"});
    old.write([](Database::Connection& c) { c.prepare("INSERT INTO task VALUES (7530024619076485129, 'true', 'killed')").run(); });
  }
  CHECK(import_classic(dir.path / "old.db", tasks).added == 1);
  { Database ours(dir.path / "ours.db", kHostMigrations); }
  CHECK_THROWS_WITH_AS(import_classic(dir.path / "ours.db", tasks), doctest::Contains("no database of HakuRiver"), BadData);
  CHECK_THROWS_AS(import_classic(dir.path / "absent.db", tasks), NotFound);
  CHECK_FALSE(std::filesystem::exists(dir.path / "absent.db"));
}

TEST_CASE("a host's database of before goes on with its tasks") {
  TemporaryDir dir;
  const std::vector<std::string_view> before(kHostMigrations.begin(), kHostMigrations.begin() + 6);
  {
    Database old(dir.path / "host.db", before);
    old.write([](Database::Connection& c) {
      c.prepare("INSERT INTO tasks (id, batch_id, node, state, attempt, epoch, spec, message, image_id, submitted_at, started_at, completed_at) VALUES "
                "(5, '5', 'n1', 'pending', 1, 1, '{\"id\":\"5\",\"command\":\"true\"}', '', '', '2026-11-21T23:10:12.000000000Z', '', '')").run();
    });
  }
  Database database(dir.path / "host.db", kHostMigrations);
  TaskRepository tasks(database);
  const auto task = tasks.find(TaskId(5));
  REQUIRE(task);
  CHECK(task->fingerprint.empty());
  CHECK(task->spec.lease.count() == 0);
  CHECK(tasks.unfinished().size() == 1);
}
