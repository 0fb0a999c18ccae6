#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "base/error.hpp"
#include "base/json.hpp"
#include "store/host_store.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

TaskRecord task(std::uint64_t id, const std::string& node = "n1", TaskState state = TaskState::pending) {
  TaskRecord record;
  record.spec.id = TaskId(id);
  record.spec.command = "sleep";
  record.spec.arguments = {"1", "a b"};
  record.spec.env = {{"K", "v"}};
  record.spec.gpus = {1};
  record.spec.environment = "torch";
  record.batch_id = "77";
  record.node = node;
  record.state = state;
  record.submitted_at = "2026-11-21T23:10:12.000000000Z";
  return record;
}

TaskReport report(std::uint64_t id, TaskState state, std::string message = "") {
  TaskReport to;
  to.id = TaskId(id);
  to.state = state;
  to.message = std::move(message);
  return to;
}

const std::vector<TaskState> kWaiting{TaskState::pending, TaskState::assigning, TaskState::syncing};
const std::vector<TaskState> kActive{TaskState::pending, TaskState::assigning, TaskState::syncing, TaskState::running};

struct Fixture {
  Database db{":memory:", kHostMigrations};
  TaskRepository tasks{db};
  NodeRepository nodes{db};
  PublicationRepository publications{db};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a task comes back as it was submitted") {
  const TaskRecord in = task(7311204582023168000);
  tasks.insert({in});
  const auto out = tasks.find(in.spec.id);
  REQUIRE(out);
  CHECK(nlohmann::json(out->spec) == nlohmann::json(in.spec));
  CHECK(out->batch_id == "77");
  CHECK(out->node == "n1");
  CHECK(out->state == TaskState::pending);
  CHECK_FALSE(out->exit_code);
  CHECK(out->submitted_at == in.submitted_at);
  CHECK(out->started_at.empty());
  CHECK_FALSE(tasks.find(TaskId(1)));
}

TEST_CASE_FIXTURE(Fixture, "a batch is stored whole or not at all") {
  tasks.insert({task(1)});
  CHECK_THROWS_AS(tasks.insert({task(2), task(1)}), Conflict);
  CHECK_FALSE(tasks.find(TaskId(2)));
}

TEST_CASE_FIXTURE(Fixture, "bytes that are not UTF-8 do not make the batch fail") {
  TaskRecord odd = task(1);
  odd.spec.command = "caf\xe9";
  tasks.insert({odd});
  CHECK(tasks.find(TaskId(1))->spec.command == "caf\xEF\xBF\xBD");
}

TEST_CASE_FIXTURE(Fixture, "lists are newest first, by state, in pages") {
  std::vector<TaskRecord> batch;
  for (std::uint64_t id = 1; id <= 10; ++id) batch.push_back(task(id, "n1", id % 2 ? TaskState::running : TaskState::completed));
  tasks.insert(batch);
  const auto page = tasks.list({.limit = 3, .offset = 2});
  REQUIRE(page.size() == 3);
  CHECK(page[0].spec.id == TaskId(8));
  CHECK(tasks.list({.states = {TaskState::running}}).size() == 5);
  CHECK(tasks.list({.states = {TaskState::lost}}).empty());
  CHECK(tasks.list({.offset = 50}).empty());
}

TEST_CASE_FIXTURE(Fixture, "unfinished tasks of one node") {
  tasks.insert({task(1, "n1", TaskState::running), task(2, "n1", TaskState::completed), task(3, "n2", TaskState::running),
                task(4, "n1", TaskState::paused), task(5, "n1", TaskState::lost)});
  const auto found = tasks.unfinished_on("n1");
  REQUIRE(found.size() == 2);
  CHECK(found[0].spec.id == TaskId(1));
  CHECK(found[1].spec.id == TaskId(4));
  CHECK(tasks.unfinished_on("n'; DROP TABLE tasks; --").empty());
}

TEST_CASE_FIXTURE(Fixture, "a task's life: times once, message and image when told") {
  tasks.insert({task(1)});
  CHECK(tasks.transition(TaskId(1), kWaiting, report(1, TaskState::syncing, "loading 10 %")));
  CHECK(tasks.transition(TaskId(1), kWaiting, report(1, TaskState::syncing, "loading 43 %")));
  auto row = *tasks.find(TaskId(1));
  CHECK(row.state == TaskState::syncing);
  CHECK(row.message == "loading 43 %");
  CHECK(row.started_at.empty());

  TaskReport running = report(1, TaskState::running);
  running.started_at = "2026-11-21T23:11:00.000000000Z";
  running.image_id = "sha256:abc";
  CHECK(tasks.transition(TaskId(1), kActive, running));
  running.started_at = "2026-11-21T23:59:00.000000000Z";
  running.image_id = "";
  running.message = "note";
  CHECK(tasks.transition(TaskId(1), kActive, running));
  row = *tasks.find(TaskId(1));
  CHECK(row.started_at == "2026-11-21T23:11:00.000000000Z");
  CHECK(row.image_id == "sha256:abc");
  CHECK(row.message == "note");
  CHECK(row.completed_at.empty());

  TaskReport done = report(1, TaskState::completed);
  done.exit_code = 0;
  CHECK(tasks.transition(TaskId(1), kActive, done));
  row = *tasks.find(TaskId(1));
  CHECK(row.exit_code == 0);
  CHECK(row.message == "note");
  CHECK_FALSE(row.completed_at.empty());
}

TEST_CASE_FIXTURE(Fixture, "the progress of a sync does not stay as the message of the task") {
  tasks.insert({task(1)});
  CHECK(tasks.transition(TaskId(1), kWaiting, report(1, TaskState::syncing, "loading 99 %")));
  CHECK(tasks.transition(TaskId(1), kWaiting, report(1, TaskState::running)));
  CHECK(tasks.find(TaskId(1))->message.empty());
}

TEST_CASE_FIXTURE(Fixture, "a state that is not expected changes nothing") {
  tasks.insert({task(1, "n1", TaskState::killed)});
  CHECK_FALSE(tasks.transition(TaskId(1), kActive, report(1, TaskState::running, "late")));
  CHECK_FALSE(tasks.transition(TaskId(1), {}, report(1, TaskState::running)));
  CHECK_FALSE(tasks.transition(TaskId(2), kActive, report(2, TaskState::running)));
  const auto row = *tasks.find(TaskId(1));
  CHECK(row.state == TaskState::killed);
  CHECK(row.message.empty());
}

TEST_CASE_FIXTURE(Fixture, "a report of an old attempt or epoch changes nothing") {
  TaskRecord second = task(1, "n1", TaskState::running);
  second.spec.attempt = 2;
  second.spec.epoch = 5;
  tasks.insert({second});
  TaskReport late = report(1, TaskState::failed, "old");
  late.attempt = 1, late.epoch = 5;
  CHECK_FALSE(tasks.transition(TaskId(1), kActive, late));
  late.attempt = 2, late.epoch = 4;
  CHECK_FALSE(tasks.transition(TaskId(1), kActive, late));
  late.epoch = 5;
  CHECK(tasks.transition(TaskId(1), kActive, late));
  const auto row = *tasks.find(TaskId(1));
  CHECK(row.spec.attempt == 2);
  CHECK(row.spec.epoch == 5);
}

TEST_CASE_FIXTURE(Fixture, "a lost task that is found again is not completed") {
  tasks.insert({task(1, "n1", TaskState::running)});
  CHECK(tasks.transition(TaskId(1), kActive, report(1, TaskState::lost)));
  CHECK_FALSE(tasks.find(TaskId(1))->completed_at.empty());
  CHECK(tasks.transition(TaskId(1), {TaskState::lost}, report(1, TaskState::running)));
  CHECK(tasks.find(TaskId(1))->completed_at.empty());
}

TEST_CASE("of two that want the same transition one wins") {
  TemporaryDir dir;
  Database db(dir.path / "h.db", kHostMigrations);
  TaskRepository tasks(db);
  for (std::uint64_t id = 1; id <= 10; ++id) {
    tasks.insert({task(id)});
    std::atomic<int> winners{0};
    std::thread other([&] { winners += tasks.transition(TaskId(id), {TaskState::pending}, report(id, TaskState::assigning)); });
    winners += tasks.transition(TaskId(id), {TaskState::pending}, report(id, TaskState::killed));
    other.join();
    CHECK(winners == 1);
  }
}

TEST_CASE_FIXTURE(Fixture, "nodes keep their row and get a new epoch with every link") {
  NodeRecord node;
  node.hostname = "n1";
  node.total_cores = 64;
  node.total_memory_bytes = 1ull << 40;
  node.gpu_json = R"([{"gpu_id":0}])";
  node.last_seen = "a";
  CHECK(nodes.upsert_and_advance_epoch(node) == 1);
  node.total_cores = 128;
  node.epoch = 99;  // the store decides
  CHECK(nodes.upsert_and_advance_epoch(node) == 2);
  nodes.set_draining("n1", true);
  nodes.set_draining("unknown", true);
  const auto all = nodes.all();
  REQUIRE(all.size() == 1);
  CHECK(all[0].total_cores == 128);
  CHECK(all[0].total_memory_bytes == 1ull << 40);
  CHECK(all[0].gpu_json == R"([{"gpu_id":0}])");
  CHECK(all[0].last_seen == "a");
  CHECK(all[0].epoch == 2);
  CHECK(all[0].draining);
  CHECK(nodes.upsert_and_advance_epoch(node) == 3);
  CHECK(nodes.all()[0].draining);  // also when it comes back
  nodes.remove("n1");
  CHECK(nodes.all().empty());
}

TEST_CASE_FIXTURE(Fixture, "publications that are under way") {
  publications.record({"torch", "c1", true});
  publications.record({"torch", "c3", false});
  publications.record({"base", "c2", true});
  auto all = publications.all();
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "base");
  CHECK(all[1].container == "c3");
  CHECK_FALSE(all[1].was_running);
  publications.forget("torch");
  publications.forget("absent");
  CHECK(publications.all().size() == 1);
}
