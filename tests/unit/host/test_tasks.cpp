// Submission, places, what follows what, and kill.
#include <doctest/doctest.h>

#include <set>

#include "base/error.hpp"
#include "tasks_fixture.hpp"

using namespace test;

TEST_CASE_FIXTURE(TasksFixture, "a submitted task is stored, dispatched and followed to its end") {
  auto submitted = tasks.submit({submission()});
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

TEST_CASE_FIXTURE(TasksFixture, "what does not fit is refused with the reason for each target") {
  CHECK_THROWS_WITH_AS(tasks.submit({submission(5)}), doctest::Contains("No suitable node"), Unavailable);
  auto s = submission();
  s.targets = {Target::parse("nowhere"), Target::parse("n1")};
  auto submitted = tasks.submit({s});
  CHECK(submitted.tasks.size() == 1);
  REQUIRE(submitted.failed.size() == 1);
  CHECK(submitted.failed[0].reason == "Node not registered");
  s.targets = {Target::parse("nowhere")};
  CHECK_THROWS_WITH_AS(tasks.submit({s}), doctest::Contains("nowhere: Node not registered"), Unavailable);
}

TEST_CASE_FIXTURE(TasksFixture, "cores are never promised twice, not even within one submission: the second waits, and starts when the first has ended") {
  auto s = submission(3);
  s.targets = {Target::parse("n1"), Target::parse("n1")};
  auto submitted = tasks.submit({s});
  REQUIRE(submitted.tasks.size() == 2);
  const auto second = submitted.tasks[1].spec.id;
  CHECK(link->dispatched.size() == 1);
  CHECK(tasks.get(second).state == TaskState::pending);
  const auto waiting = tasks.explain(second).waiting;
  REQUIRE(waiting);
  CHECK(waiting->position == 1);
  CHECK(waiting->refusals.at(0).second == "Insufficient available cores (1 of 4 free)");
  tasks.apply(report(link->dispatched[0], TaskState::running));
  CHECK(link->dispatched.size() == 1);
  tasks.apply(report(link->dispatched[0], TaskState::completed));
  REQUIRE(link->dispatched.size() == 2);
  CHECK(link->dispatched[1].id == second);
  CHECK(tasks.get(second).state == TaskState::assigning);
  CHECK(tasks.usage_of("n1").cores == 3);
  CHECK_FALSE(tasks.explain(second).waiting);
}

TEST_CASE_FIXTURE(TasksFixture, "exclusive tasks never share CPUs, and those that start later stay off them, also after a restart and at the next attempt") {
  auto exclusive = submission(2);
  exclusive.spec.exclusive = true;
  exclusive.spec.retries = 1;
  tasks.submit({exclusive});
  tasks.submit({submission(1)});
  REQUIRE(link->dispatched.size() == 2);
  CHECK(link->dispatched[0].cpus == std::vector{0, 1});
  CHECK(link->dispatched[1].cpus == std::vector{2, 3});
  CHECK(tasks.usage_of("n1").cpus == std::vector{0, 1});
  exclusive.spec.cores = 1;
  tasks.submit({exclusive});
  REQUIRE(link->dispatched.size() == 3);
  CHECK(link->dispatched[2].cpus == std::vector{2});

  Tasks restarted{task_repository, nodes, [](TaskId id, int attempt, bool) { return id.str() + "." + std::to_string(attempt); }};
  const auto held = restarted.usage_of("n1").cpus;
  CHECK(std::set(held.begin(), held.end()) == std::set{0, 1, 2});
  restarted.apply(report(link->dispatched[0], TaskState::failed));
  REQUIRE(link->dispatched.size() == 4);
  CHECK(link->dispatched[3].attempt == 2);
  CHECK(link->dispatched[3].cpus == std::vector{0, 1});
  restarted.apply(report(link->dispatched[3], TaskState::completed));
  restarted.apply(report(link->dispatched[2], TaskState::completed));
  CHECK(restarted.usage_of("n1").cpus.empty());
  restarted.submit({submission(1)});
  CHECK(link->dispatched.back().cpus.empty());  // all of them again
  CHECK(resubmission(tasks.get(link->dispatched[0].id)).spec.cpus.empty());
}

TEST_CASE_FIXTURE(TasksFixture, "what may not wait is refused with the reason, and leaves nothing behind") {
  tasks.submit({submission(3)});
  auto s = submission(3);
  s.may_wait = false;
  CHECK_THROWS_WITH_AS(tasks.submit({s}), doctest::Contains("n1: Insufficient available cores (1 of 4 free)"), Unavailable);
  CHECK(tasks.list({}).size() == 1);
  s.targets = {Target::parse("n1")};
  CHECK_THROWS_WITH_AS(tasks.submit({s}), doctest::Contains("n1: Insufficient available cores (1 of 4 free)"), Unavailable);
  tasks.kill(link->dispatched[0].id);
  CHECK(link->dispatched.size() == 1);
}

TEST_CASE_FIXTURE(TasksFixture, "higher priority starts first; a waiting task can be killed and never starts") {
  const auto running = tasks.submit({submission(4)}).tasks[0].spec;
  const auto low = tasks.submit({submission(4)}).tasks[0].spec.id;
  auto urgent = submission(4);
  urgent.spec.priority = 5;
  const auto high = tasks.submit({urgent}).tasks[0].spec.id;
  const auto killed = tasks.submit({urgent}).tasks[0].spec.id;
  CHECK(tasks.kill(killed).state == TaskState::killed);
  tasks.apply(report(running, TaskState::completed));
  REQUIRE(link->dispatched.size() == 2);
  CHECK(link->dispatched[1].id == high);
  tasks.kill(high);
  CHECK(link->dispatched.size() == 2);  // it is still ending: its cores are not free
  CHECK(tasks.usage_of("n1").cores == 4);
  CHECK_FALSE(tasks.apply(report(link->dispatched[1], TaskState::killed)));
  REQUIRE(link->dispatched.size() == 3);
  CHECK(link->dispatched[2].id == low);
}

TEST_CASE_FIXTURE(TasksFixture, "what is killed while its node is away holds its place until the node tells") {
  const auto running = tasks.submit({submission(2)}).tasks[0].spec, lost_dispatch = tasks.submit({submission(2)}).tasks[0].spec;
  tasks.apply(report(running, TaskState::running));
  nodes.disconnect("n1", link.get());
  tasks.kill(running.id);
  tasks.kill(lost_dispatch.id);
  auto s = submission(4);
  const auto waiting = tasks.submit({s}).tasks[0].spec.id;
  Tasks host(task_repository, nodes, [](TaskId id, int, bool) { return id.str(); });  // it is also another host by now
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  for (Tasks* each : {&tasks, &host}) {
    again->dispatched.clear();
    each->take_in("n1", {{running.id, 1, running.epoch}});
    each->reconcile("n1", {{running.id, 1, running.epoch}});
    CHECK(again->killed.back() == running.id);
    CHECK(each->usage_of("n1").cores == 2);
    CHECK(again->dispatched.empty());
  }
  host.apply(report(running, TaskState::killed));
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].id == waiting);
}

TEST_CASE_FIXTURE(TasksFixture, "the queue and what is held survive the host") {
  const auto running = tasks.submit({submission(3)}).tasks[0].spec;
  const auto waiting = tasks.submit({submission(3)}).tasks[0].spec.id;
  Nodes new_nodes{node_repository, std::chrono::seconds(5), 6};
  Tasks host(task_repository, new_nodes, [](TaskId id, int, bool) { return id.str(); });
  CHECK(host.usage_of("n1").cores == 3);
  CHECK(host.explain(waiting).waiting->refusals.at(0).second == "Node status is offline");
  auto again = std::make_shared<RecordingLink>();
  NodeDescription d;
  d.hostname = "n1";
  d.cores = 4;
  d.memory_bytes = 8ull << 30;
  new_nodes.connect(d, again);
  host.reconcile("n1", {{running.id, 1, running.epoch}});
  CHECK(again->dispatched.empty());
  host.apply(report(running, TaskState::completed));
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].id == waiting);
}

TEST_CASE_FIXTURE(TasksFixture, "a task follows others when all have completed") {
  const auto a = tasks.submit({submission()}).tasks[0].spec, b = tasks.submit({submission()}).tasks[0].spec;
  auto s = submission();
  s.spec.after = {a.id, b.id};
  const auto c = tasks.submit({s}).tasks[0].spec.id;
  CHECK(tasks.get(c).state == TaskState::pending);
  CHECK(tasks.explain(c).after == std::vector{a.id, b.id});
  tasks.apply(report(a, TaskState::completed));
  CHECK(tasks.explain(c).after == std::vector{b.id});
  CHECK(link->dispatched.size() == 2);
  tasks.apply(report(b, TaskState::completed));
  REQUIRE(link->dispatched.size() == 3);
  CHECK(link->dispatched[2].id == c);
  s.spec.after = {a.id};
  CHECK(tasks.submit({s}).tasks[0].state == TaskState::assigning);  // nothing to wait for
  s.spec.after = {TaskId(1)};
  CHECK_THROWS_AS(tasks.submit({s}), NotFound);
}

TEST_CASE_FIXTURE(TasksFixture, "what follows a task that does not complete fails without having run, and so does what follows that") {
  const auto a = tasks.submit({submission()}).tasks[0].spec;
  auto s = submission();
  s.spec.after = {a.id};
  const auto b = tasks.submit({s}).tasks[0].spec.id;
  s.spec.after = {b};
  const auto c = tasks.submit({s}).tasks[0].spec.id;
  s.spec.after = {c};
  const auto killed = tasks.submit({s}).tasks[0].spec.id;
  tasks.kill(killed);
  tasks.apply(report(a, TaskState::failed));
  CHECK(tasks.get(b).state == TaskState::failed);
  CHECK(tasks.get(b).message == "It never started: task " + a.id.str() + ", which it was to follow, is failed.");
  CHECK(tasks.get(c).state == TaskState::failed);
  CHECK(tasks.get(killed).state == TaskState::killed);
  CHECK(link->dispatched.size() == 1);
  CHECK_THROWS_AS(tasks.submit({s}), Conflict);
}

TEST_CASE_FIXTURE(TasksFixture, "a host that comes back knows what follows what, also when it missed an end") {
  const auto a = tasks.submit({submission()}).tasks[0].spec, b = tasks.submit({submission()}).tasks[0].spec;
  auto s = submission();
  s.spec.after = {a.id};
  const auto after_a = tasks.submit({s}).tasks[0].spec.id;
  s.spec.after = {b.id};
  const auto after_b = tasks.submit({s}).tasks[0].spec.id;
  task_repository.transition(b.id, {TaskState::assigning}, report(b, TaskState::failed));  // and then the host died
  Tasks host(task_repository, nodes, [](TaskId id, int, bool) { return id.str(); });
  CHECK(host.explain(after_a).after == std::vector{a.id});
  CHECK(host.get(after_b).state == TaskState::failed);
  host.apply(report(a, TaskState::completed));
  CHECK(host.get(after_a).state == TaskState::assigning);
}

TEST_CASE_FIXTURE(TasksFixture, "a submission that is repeated makes no second task") {
  auto s = submission();
  s.targets = {Target::parse("n1"), Target::parse("n1")};
  const auto first = tasks.submit({s}, "mine-1").tasks, again = tasks.submit({s}, "mine-1").tasks;
  REQUIRE(again.size() == 2);
  CHECK(again[0].spec.id == first[0].spec.id);
  CHECK(again[1].spec.id == first[1].spec.id);
  CHECK(link->dispatched.size() == 2);
  CHECK(tasks.submit({s}, "mine-2").tasks[0].spec.id != first[0].spec.id);
}

TEST_CASE_FIXTURE(TasksFixture, "a task for a node that is away waits for it") {
  nodes.disconnect("n1", link.get());
  auto s = submission();
  s.targets = {Target::parse("n1")};
  const auto id = tasks.submit({s}).tasks.at(0).spec.id;
  CHECK(tasks.get(id).state == TaskState::pending);
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  tasks.reconcile("n1", {});
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].epoch == 2);
}

TEST_CASE_FIXTURE(TasksFixture, "a killed task stays killed and the runner is told") {
  auto id = tasks.submit({submission()}).tasks[0].spec.id;
  CHECK(tasks.kill(id).state == TaskState::killed);
  CHECK(link->killed == std::vector{id});
  CHECK_FALSE(tasks.apply(report(link->dispatched[0], TaskState::completed)));
  CHECK_THROWS_AS(tasks.kill(id), Conflict);
  CHECK_THROWS_AS(tasks.kill(TaskId(1)), NotFound);
}

// fault: node-twice
TEST_CASE_FIXTURE(TasksFixture, "a second runner of the same name is refused while the first is alive") {
  CHECK_THROWS_AS(connect(std::make_shared<RecordingLink>()), Conflict);
}

TEST_CASE_FIXTURE(TasksFixture, "the node that holds the environment is preferred also after a wait, and by the next host") {
  auto blocker = submission(4);
  blocker.targets = {Target::parse("n1")};
  const auto first = tasks.submit({blocker}).tasks[0].spec;
  auto s = submission();
  s.image = "sha256:abc";
  s.spec.after = {first.id};
  const auto follower = tasks.submit({s}).tasks[0].spec.id;
  auto other = std::make_shared<RecordingLink>();
  connect(other, "n2", 2);
  nodes.hold("n2", other.get(), {{"env", "sha256:abc"}});
  Tasks host(task_repository, nodes, [](TaskId id, int, bool) { return id.str(); });
  host.apply(report(first, TaskState::completed));
  CHECK(host.get(follower).node == "n2");  // though n1 has more free cores
}

// fault: clock-wrong
TEST_CASE_FIXTURE(TasksFixture, "a clock that is set back makes nobody wait longer") {
  WallTime wall = wall_now();
  auto steady = std::chrono::steady_clock::now();
  Tasks set{task_repository, nodes, [](TaskId id, int, bool) { return id.str(); }, Clock{[&] { return wall; }, [&] { return steady; }}};
  const auto first = set.submit({submission(3)}).tasks[0].spec;
  const auto waits = set.submit({submission(4)}).tasks[0].spec.id;
  set.submit({submission(1)});  // goes by
  wall -= std::chrono::hours(3);
  steady += std::chrono::minutes(6);
  set.apply(report(first, TaskState::completed));
  const auto later = set.submit({submission(1)}).tasks[0].spec.id;
  CHECK(set.explain(waits).waiting->kept == "n1");
  CHECK(set.get(later).state == TaskState::pending);
}

TEST_CASE_FIXTURE(TasksFixture, "of a batch all tasks are taken, or none") {
  auto bad = submission();
  bad.targets = {Target::parse("nowhere")};
  CHECK_THROWS_WITH_AS(tasks.submit({submission(), bad}), doctest::Contains("nowhere: Node not registered"), Unavailable);
  CHECK_THROWS_AS(tasks.submit({submission(), submission(9)}), Unavailable);
  CHECK(tasks.list({}).empty());
  std::vector<Submission> many(600, submission(0));
  const auto taken = tasks.submit(many).tasks;
  CHECK(taken.size() == 600);
  CHECK(taken.back().batch_id == taken.front().spec.id.str());
  CHECK(link->dispatched.size() == 600);
  CHECK(tasks.kill_batch(taken[7].spec.id).size() == 600);
  CHECK_THROWS_AS(tasks.kill_batch(taken[7].spec.id), Conflict);
}
