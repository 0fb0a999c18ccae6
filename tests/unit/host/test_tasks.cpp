// Submission, reports, kill and reconciliation against a real (in-memory) database and a link that records what it is told.
#include <doctest/doctest.h>

#include "base/error.hpp"
#include "host/tasks.hpp"

using namespace riverbox;
using namespace riverbox::host;

namespace {

struct RecordingLink : RunnerLink {
  std::vector<TaskSpec> dispatched;
  std::vector<TaskId> killed;
  void dispatch(const TaskSpec& spec) override { dispatched.push_back(spec); }
  void kill(TaskId id, int) override { killed.push_back(id); }
  void control(const std::string&, TaskId, int, std::function<void(bool, std::string)> done) override { done(true, ""); }
  void sync(const SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}
};

struct Fixture {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository node_repository{database};
  store::TaskRepository task_repository{database};
  Nodes nodes{node_repository, std::chrono::seconds(5), 6};
  Tasks tasks{task_repository, nodes, [](TaskId id, bool err) { return id.str() + (err ? ".err" : ".out"); }};
  std::shared_ptr<RecordingLink> link = std::make_shared<RecordingLink>();

  Fixture() { connect(link); }
  std::int64_t connect(std::shared_ptr<RecordingLink> l) {
    NodeDescription d;
    d.hostname = "n1";
    d.cores = 4;
    d.memory_bytes = 8ull << 30;
    return nodes.connect(d, l);
  }
  Submission submission(int cores = 1) {
    Submission s;
    s.spec.command = "echo";
    s.spec.environment = "env";
    s.spec.cores = cores;
    return s;
  }
  TaskReport report(const TaskSpec& spec, TaskState state) {
    TaskReport r;
    r.id = spec.id;
    r.attempt = spec.attempt;
    r.epoch = spec.epoch;
    r.state = state;
    if (state == TaskState::completed) r.exit_code = 0;
    return r;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a submitted task is stored, dispatched and followed to its end") {
  auto submitted = tasks.submit(submission());
  REQUIRE(submitted.tasks.size() == 1);
  REQUIRE(link->dispatched.size() == 1);
  auto spec = link->dispatched[0];
  CHECK(tasks.get(spec.id).state == TaskState::assigning);
  std::vector<TaskState> seen;
  tasks.subscribe(spec.id, [&](const store::TaskRecord& t) { seen.push_back(t.state); });
  CHECK(tasks.apply(report(spec, TaskState::running)));
  CHECK(tasks.apply(report(spec, TaskState::completed)));
  CHECK(seen == std::vector{TaskState::running, TaskState::completed});
  CHECK(tasks.get(spec.id).exit_code == 0);
  CHECK_FALSE(tasks.apply(report(spec, TaskState::failed)));  // final states never change
  CHECK(tasks.get(spec.id).state == TaskState::completed);
}

TEST_CASE_FIXTURE(Fixture, "what does not fit is refused with the reason for each target") {
  CHECK_THROWS_WITH_AS(tasks.submit(submission(5)), doctest::Contains("No suitable node"), Unavailable);
  auto s = submission();
  s.targets = {Target::parse("nowhere"), Target::parse("n1")};
  auto submitted = tasks.submit(s);
  CHECK(submitted.tasks.size() == 1);
  REQUIRE(submitted.failed.size() == 1);
  CHECK(submitted.failed[0].reason == "Node not registered");
  s.targets = {Target::parse("nowhere")};
  CHECK_THROWS_WITH_AS(tasks.submit(s), doctest::Contains("nowhere: Node not registered"), Unavailable);
}

TEST_CASE_FIXTURE(Fixture, "cores are never promised twice, not even within one submission") {
  auto s = submission(3);
  s.targets = {Target::parse("n1"), Target::parse("n1")};
  auto submitted = tasks.submit(s);
  CHECK(submitted.tasks.size() == 1);
  CHECK(submitted.failed.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a killed task stays killed and the runner is told") {
  auto id = tasks.submit(submission()).tasks[0].spec.id;
  CHECK(tasks.kill(id).state == TaskState::killed);
  CHECK(link->killed == std::vector{id});
  CHECK_FALSE(tasks.apply(report(link->dispatched[0], TaskState::completed)));
  CHECK_THROWS_AS(tasks.kill(id), Conflict);
  CHECK_THROWS_AS(tasks.kill(TaskId(1)), NotFound);
}

TEST_CASE_FIXTURE(Fixture, "after a new link: lost dispatches are sent again, killed ones ended, vanished ones lost") {
  auto never_arrived = tasks.submit(submission()).tasks[0].spec;
  auto vanished = tasks.submit(submission()).tasks[0].spec;
  auto still_there = tasks.submit(submission()).tasks[0].spec;
  auto killed_meanwhile = tasks.submit(submission()).tasks[0].spec;
  for (auto& spec : {vanished, still_there}) tasks.apply(report(spec, TaskState::running));
  nodes.disconnect("n1", link.get());
  tasks.kill(killed_meanwhile.id);
  CHECK(link->killed.empty());

  auto again = std::make_shared<RecordingLink>();
  connect(again);
  tasks.reconcile("n1", {{still_there.id, 1, still_there.epoch}, {killed_meanwhile.id, 1, killed_meanwhile.epoch}});
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].id == never_arrived.id);
  CHECK(again->killed == std::vector{killed_meanwhile.id});
  CHECK(tasks.get(vanished.id).state == TaskState::lost);
  CHECK(tasks.get(still_there.id).state == TaskState::running);
}

TEST_CASE_FIXTURE(Fixture, "a task sent over the new link is not taken for a vanished one") {
  nodes.disconnect("n1", link.get());
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  auto spec = tasks.submit(submission()).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  tasks.reconcile("n1", {});
  CHECK(tasks.get(spec.id).state == TaskState::running);
  CHECK(again->dispatched.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a second runner of the same name is refused while the first is alive") {
  CHECK_THROWS_AS(connect(std::make_shared<RecordingLink>()), Conflict);
}
