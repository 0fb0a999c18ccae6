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
  bool dropped = false;
  void drop() override { dropped = true; }
  void control(const std::string&, TaskId, int, std::function<void(bool, std::string)> done) override { done(true, ""); }
  void sync(const SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}
};

struct Fixture {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository node_repository{database};
  store::TaskRepository task_repository{database};
  Nodes nodes{node_repository, std::chrono::seconds(5), 6};
  Tasks tasks{task_repository, nodes, [](TaskId id, int attempt, bool err) { return id.str() + "." + std::to_string(attempt) + (err ? ".err" : ".out"); }};
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

TEST_CASE_FIXTURE(Fixture, "what does not fit is refused with the reason for each target") {
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

TEST_CASE_FIXTURE(Fixture, "cores are never promised twice, not even within one submission: the second waits, and starts when the first has ended") {
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

TEST_CASE_FIXTURE(Fixture, "what may not wait is refused with the reason, and leaves nothing behind") {
  tasks.submit({submission(3)});
  auto s = submission(3);
  s.may_wait = false;
  CHECK_THROWS_WITH_AS(tasks.submit({s}), doctest::Contains("n1: Insufficient available cores (1 of 4 free)"), Unavailable);
  CHECK(tasks.list({}, 10, 0).size() == 1);
  s.targets = {Target::parse("n1")};
  CHECK_THROWS_WITH_AS(tasks.submit({s}), doctest::Contains("n1: Insufficient available cores (1 of 4 free)"), Unavailable);
  tasks.kill(link->dispatched[0].id);
  CHECK(link->dispatched.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "higher priority starts first; a waiting task can be killed and never starts") {
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

TEST_CASE_FIXTURE(Fixture, "what is killed while its node is away holds its place until the node tells") {
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
    each->reconcile("n1", {{running.id, 1, running.epoch}});
    CHECK(again->killed.back() == running.id);
    CHECK(each->usage_of("n1").cores == 2);
    CHECK(again->dispatched.empty());
  }
  host.apply(report(running, TaskState::killed));
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].id == waiting);
}

TEST_CASE_FIXTURE(Fixture, "the queue and what is held survive the host") {
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

TEST_CASE_FIXTURE(Fixture, "a task follows others when all have completed") {
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

TEST_CASE_FIXTURE(Fixture, "what follows a task that does not complete fails without having run, and so does what follows that") {
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

TEST_CASE_FIXTURE(Fixture, "a host that comes back knows what follows what, also when it missed an end") {
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

TEST_CASE_FIXTURE(Fixture, "a submission that is repeated makes no second task") {
  auto s = submission();
  s.targets = {Target::parse("n1"), Target::parse("n1")};
  const auto first = tasks.submit({s}, "mine-1").tasks, again = tasks.submit({s}, "mine-1").tasks;
  REQUIRE(again.size() == 2);
  CHECK(again[0].spec.id == first[0].spec.id);
  CHECK(again[1].spec.id == first[1].spec.id);
  CHECK(link->dispatched.size() == 2);
  CHECK(tasks.submit({s}, "mine-2").tasks[0].spec.id != first[0].spec.id);
}

TEST_CASE_FIXTURE(Fixture, "a task for a node that is away waits for it") {
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

TEST_CASE_FIXTURE(Fixture, "a killed task stays killed and the runner is told") {
  auto id = tasks.submit({submission()}).tasks[0].spec.id;
  CHECK(tasks.kill(id).state == TaskState::killed);
  CHECK(link->killed == std::vector{id});
  CHECK_FALSE(tasks.apply(report(link->dispatched[0], TaskState::completed)));
  CHECK_THROWS_AS(tasks.kill(id), Conflict);
  CHECK_THROWS_AS(tasks.kill(TaskId(1)), NotFound);
}

TEST_CASE_FIXTURE(Fixture, "after a new link: lost dispatches are sent again, killed ones ended, vanished ones lost") {
  auto never_arrived = tasks.submit({submission()}).tasks[0].spec;
  auto vanished = tasks.submit({submission()}).tasks[0].spec;
  auto still_there = tasks.submit({submission()}).tasks[0].spec;
  auto killed_meanwhile = tasks.submit({submission()}).tasks[0].spec;
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
  auto spec = tasks.submit({submission()}).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  tasks.reconcile("n1", {});
  CHECK(tasks.get(spec.id).state == TaskState::running);
  CHECK(again->dispatched.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a second runner of the same name is refused while the first is alive") {
  CHECK_THROWS_AS(connect(std::make_shared<RecordingLink>()), Conflict);
}

TEST_CASE_FIXTURE(Fixture, "an attempt that fails is followed by another one, as often as was asked for") {
  auto s = submission(3);
  s.spec.retries = 1;
  const auto first = tasks.submit({s}).tasks[0].spec;
  auto follower = submission();
  follower.spec.after = {first.id};
  const auto after = tasks.submit({follower}).tasks[0].spec.id;
  CHECK(tasks.apply(report(first, TaskState::failed)));
  REQUIRE(link->dispatched.size() == 2);
  const auto second = link->dispatched[1];
  CHECK(second.id == first.id);
  CHECK(second.attempt == 2);
  CHECK(second.stdout_file != first.stdout_file);
  CHECK(tasks.get(first.id).state == TaskState::assigning);
  CHECK(tasks.get(first.id).message == "Attempt 1 of 2 on n1: failed.");
  CHECK(tasks.usage_of("n1").cores == 3);
  CHECK_FALSE(tasks.apply(report(first, TaskState::failed)));  // said again: it is over, and not this one
  CHECK_FALSE(tasks.apply(report(first, TaskState::running)));
  CHECK(tasks.usage_of("n1").cores == 3);
  CHECK(tasks.get(after).state == TaskState::pending);
  CHECK(tasks.apply(report(second, TaskState::failed)));
  CHECK(tasks.get(first.id).state == TaskState::failed);
  CHECK(tasks.get(after).state == TaskState::failed);
  CHECK(tasks.usage_of("n1").cores == 0);
}

TEST_CASE_FIXTURE(Fixture, "what was killed or has used up its time is not tried again") {
  auto s = submission();
  s.spec.retries = 5;
  const auto killed = tasks.submit({s}).tasks[0].spec, late = tasks.submit({s}).tasks[0].spec;
  tasks.kill(killed.id);
  CHECK_FALSE(tasks.apply(report(killed, TaskState::killed)));
  auto over = report(late, TaskState::failed);
  over.timed_out = true;
  tasks.apply(over);
  CHECK(tasks.get(late.id).state == TaskState::failed);
  CHECK(link->dispatched.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a lost attempt that turns up is ended and holds its place until then") {
  auto s = submission(2);
  s.spec.retries = 1;
  const auto first = tasks.submit({s}).tasks[0].spec;
  tasks.apply(report(first, TaskState::running));
  nodes.disconnect("n1", link.get());
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  tasks.reconcile("n1", {});  // it does not know it any more
  REQUIRE(again->dispatched.size() == 1);
  CHECK(again->dispatched[0].attempt == 2);
  nodes.disconnect("n1", again.get());
  auto third = std::make_shared<RecordingLink>();
  connect(third);
  tasks.reconcile("n1", {{first.id, 1, first.epoch}});  // and then it does
  CHECK(third->killed == std::vector{first.id});
  CHECK(tasks.usage_of("n1").cores == 4);
  tasks.apply(report(first, TaskState::killed));
  CHECK(tasks.usage_of("n1").cores == 2);
  CHECK(tasks.get(first.id).state == TaskState::assigning);
}

TEST_CASE_FIXTURE(Fixture, "what is on a node that is silent for too long is lost, and found when the node is back") {
  const auto spec = tasks.submit({submission(3)}).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  tasks.call_lost(std::chrono::hours(1));
  CHECK(tasks.get(spec.id).state == TaskState::running);
  CHECK_FALSE(link->dropped);
  tasks.call_lost(std::chrono::seconds(0));
  CHECK(link->dropped);
  CHECK(tasks.get(spec.id).state == TaskState::lost);
  CHECK(tasks.get(spec.id).message == "Nothing has been heard of node n1 for 0 s.");
  nodes.disconnect("n1", link.get());
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  tasks.reconcile("n1", {{spec.id, 1, spec.epoch, TaskState::paused}});
  CHECK(again->killed.empty());
  CHECK(tasks.get(spec.id).state == TaskState::paused);
  CHECK(tasks.usage_of("n1").cores == 3);
  CHECK(tasks.apply(report(spec, TaskState::completed)));
  CHECK(tasks.get(spec.id).state == TaskState::completed);
}

TEST_CASE_FIXTURE(Fixture, "of a batch all tasks are taken, or none") {
  auto bad = submission();
  bad.targets = {Target::parse("nowhere")};
  CHECK_THROWS_WITH_AS(tasks.submit({submission(), bad}), doctest::Contains("nowhere: Node not registered"), Unavailable);
  CHECK_THROWS_AS(tasks.submit({submission(), submission(9)}), Unavailable);
  CHECK(tasks.list({}, 10, 0).empty());
  std::vector<Submission> many(600, submission(0));
  const auto taken = tasks.submit(many).tasks;
  CHECK(taken.size() == 600);
  CHECK(taken.back().batch_id == taken.front().spec.id.str());
  CHECK(link->dispatched.size() == 600);
  CHECK(tasks.kill_batch(taken[7].spec.id).size() == 600);
  CHECK_THROWS_AS(tasks.kill_batch(taken[7].spec.id), Conflict);
}

TEST_CASE_FIXTURE(Fixture, "a node is drained, and removed when it is gone") {
  nodes.set_draining("n1", true);
  const auto waiting = tasks.submit({submission()}).tasks[0].spec.id;
  CHECK(link->dispatched.empty());
  CHECK(tasks.explain(waiting).waiting->refusals.at(0).second == "Node is being drained");
  nodes.set_draining("n1", false);
  tasks.schedule();
  CHECK(link->dispatched.size() == 1);
  auto named = submission(4);
  named.targets = {Target::parse("n1")};
  const auto never = tasks.submit({named}).tasks[0].spec.id;
  CHECK_THROWS_WITH_AS(tasks.remove_node("n1", true), doctest::Contains("connected"), Conflict);
  nodes.disconnect("n1", link.get());
  CHECK_THROWS_WITH_AS(tasks.remove_node("n1", false), doctest::Contains("2 unfinished tasks"), Conflict);
  tasks.remove_node("n1", true);
  CHECK(tasks.get(waiting).state == TaskState::lost);
  CHECK(tasks.get(never).state == TaskState::failed);
  CHECK(tasks.usage_of("n1").cores == 0);
  CHECK_THROWS_AS(tasks.remove_node("n1", true), NotFound);
}
