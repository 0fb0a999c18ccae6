// More than one attempt, and nodes that come back, are silent, or go.
#include <doctest/doctest.h>

#include <thread>

#include "base/error.hpp"
#include "tasks_fixture.hpp"

using namespace test;

TEST_CASE_FIXTURE(TasksFixture, "after a new link: lost dispatches are sent again, killed ones ended, vanished ones lost") {
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

TEST_CASE_FIXTURE(TasksFixture, "a task sent over the new link is not taken for a vanished one") {
  nodes.disconnect("n1", link.get());
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  auto spec = tasks.submit({submission()}).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  tasks.reconcile("n1", {});
  CHECK(tasks.get(spec.id).state == TaskState::running);
  CHECK(again->dispatched.size() == 1);
}

TEST_CASE_FIXTURE(TasksFixture, "an attempt that fails is followed by another one, as often as was asked for") {
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

TEST_CASE_FIXTURE(TasksFixture, "the next attempt goes to another node than the last one, if it can") {
  const auto other = std::make_shared<RecordingLink>();
  connect(other, "n2", 2);
  auto s = submission();
  s.spec.retries = 3;
  tasks.submit({s});
  REQUIRE(link->dispatched.size() == 1);  // it has more cores
  tasks.apply(report(link->dispatched[0], TaskState::failed));
  REQUIRE(other->dispatched.size() == 1);
  nodes.set_draining("n1", true);
  tasks.apply(report(other->dispatched[0], TaskState::failed));
  REQUIRE(other->dispatched.size() == 2);  // nowhere else
  nodes.set_draining("n1", false);
  tasks.apply(report(other->dispatched[1], TaskState::failed));
  CHECK(link->dispatched.size() == 2);
}

TEST_CASE_FIXTURE(TasksFixture, "what was killed or has used up its time is not tried again") {
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

// fault: attempt-replaced
TEST_CASE_FIXTURE(TasksFixture, "a lost attempt that turns up is ended and holds its place until then") {
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
  tasks.take_in("n1", {{first.id, 1, first.epoch}});  // and then it does
  tasks.reconcile("n1", {{first.id, 1, first.epoch}});
  CHECK(third->killed == std::vector{first.id});
  CHECK(tasks.usage_of("n1").cores == 4);
  tasks.apply(report(first, TaskState::killed));
  CHECK(tasks.usage_of("n1").cores == 2);
  CHECK(tasks.get(first.id).state == TaskState::assigning);
}

TEST_CASE_FIXTURE(TasksFixture, "what is on a node that is silent for too long is lost, and found when the node is back") {
  const auto spec = tasks.submit({submission(3)}).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  tasks.call_lost(std::chrono::hours(1));
  CHECK(tasks.get(spec.id).state == TaskState::running);
  CHECK_FALSE(link->dropped);
  tasks.call_lost(std::chrono::seconds(0));
  CHECK(link->dropped);
  CHECK_FALSE(nodes.heartbeat("n1", link.get(), {}, {}));  // on its way when the link was given up
  CHECK_FALSE(nodes.get("n1").online);
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

TEST_CASE_FIXTURE(TasksFixture, "what its node ends without us is not called lost before it has surely ended, and is tried again") {
  auto s = submission();
  s.spec.lease = std::chrono::minutes(5);
  s.spec.retries = 1;
  const auto stops = tasks.submit({s}).tasks[0].spec, keeps = tasks.submit({submission()}).tasks[0].spec;
  CHECK(link->dispatched[0].lease == std::chrono::minutes(5));
  tasks.apply(report(stops, TaskState::running));
  tasks.apply(report(keeps, TaskState::running));
  tasks.call_lost(std::chrono::seconds(0));
  CHECK(tasks.get(keeps.id).state == TaskState::lost);
  CHECK(tasks.get(stops.id).state == TaskState::running);
  tasks.apply(report(stops, TaskState::stopped));
  CHECK(tasks.get(stops.id).spec.attempt == 2);
  tasks.apply(report(stops, TaskState::stopped));  // it was said again
  CHECK_FALSE(is_final(tasks.get(stops.id).state));
}

TEST_CASE_FIXTURE(TasksFixture, "who has not listened has nobody called lost") {
  const auto spec = tasks.submit({submission()}).tasks[0].spec;
  tasks.apply(report(spec, TaskState::running));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(nodes.get("n1").silent_for >= std::chrono::milliseconds(30));
  nodes.begin_listening();
  CHECK(nodes.get("n1").silent_for < std::chrono::milliseconds(30));
}

TEST_CASE_FIXTURE(TasksFixture, "many that are lost at once and tried again find their places all together") {
  std::vector<Submission> many(4, submission());
  for (auto& s : many) s.spec.retries = 1;
  for (const auto& task : tasks.submit(many).tasks) tasks.apply(report(task.spec, TaskState::running));
  auto other = std::make_shared<RecordingLink>();
  connect(other, "n2", 4);
  nodes.disconnect("n1", link.get());
  tasks.remove_node("n1", true);
  CHECK(other->dispatched.size() == 4);
  CHECK(tasks.usage_of("n2").cores == 4);
}

TEST_CASE_FIXTURE(TasksFixture, "a node that was removed and comes back is not taken for what it was") {
  const auto before = nodes.get("n1").epoch;
  const auto spec = tasks.submit({submission()}).tasks[0].spec;
  nodes.disconnect("n1", link.get());
  tasks.remove_node("n1", true);
  CHECK(connect(std::make_shared<RecordingLink>()) > before);
  CHECK(spec.epoch == before);
}

TEST_CASE_FIXTURE(TasksFixture, "what a node still runs has its place again before anything else starts there") {
  const auto lost = tasks.submit({submission(3)}).tasks[0].spec;
  tasks.apply(report(lost, TaskState::running));
  tasks.call_lost(std::chrono::seconds(0));
  nodes.disconnect("n1", link.get());
  const auto waiting = tasks.submit({submission(3)}).tasks[0].spec.id;
  auto again = std::make_shared<RecordingLink>();
  connect(again);
  tasks.take_in("n1", {{lost.id, 1, lost.epoch, TaskState::running}});
  tasks.schedule();  // something else happens before the node has told everything
  CHECK(again->dispatched.empty());
  SUBCASE("it ends before that: its place is free, and stays free") {
    tasks.apply(report(lost, TaskState::completed));
    tasks.reconcile("n1", {{lost.id, 1, lost.epoch, TaskState::running}});
    REQUIRE(again->dispatched.size() == 1);
    CHECK(again->dispatched[0].id == waiting);
    CHECK(tasks.usage_of("n1").cores == 3);
  }
  SUBCASE("it goes on") {
    tasks.reconcile("n1", {{lost.id, 1, lost.epoch, TaskState::running}});
    CHECK(tasks.get(lost.id).state == TaskState::running);
    CHECK(again->dispatched.empty());
    CHECK(tasks.usage_of("n1").cores == 3);
  }
}

TEST_CASE_FIXTURE(TasksFixture, "an attempt that was given up holds the GPUs that it has, not those of the one that replaced it") {
  NodeDescription d;
  d.cores = 4;
  for (int gpu = 0; gpu < 2; ++gpu) d.gpus.push_back({.gpu_id = gpu});
  for (const char* name : {"g1", "g2"}) nodes.connect((d.hostname = name, d), std::make_shared<RecordingLink>());
  auto s = submission();
  s.targets = {Target::parse("g1::1")};
  const auto by_index = tasks.submit({s}).tasks.at(0).spec;
  CHECK(by_index.gpus == std::vector{1});
  tasks.take_in("g2", {{by_index.id, 7, 1, TaskState::running, std::vector{0}}});
  CHECK(tasks.usage_of("g2").gpus == std::vector{0});
  CHECK(tasks.usage_of("g1").gpus == std::vector{1});
}

TEST_CASE_FIXTURE(TasksFixture, "a node has a say in what it was given, whatever it claims to have") {
  connect(std::make_shared<RecordingLink>(), "n2");
  auto s = submission(4);
  s.targets = {Target::parse("n1")};
  const auto running = tasks.submit({s}).tasks.at(0).spec;
  const auto claimed = std::vector<KnownAttempt>{{running.id, 1, running.epoch, TaskState::completed}};
  CHECK(tasks.is_on("n1", running.id, 1));
  CHECK_FALSE(tasks.is_on("n2", running.id, 1));
  CHECK_FALSE(tasks.is_on("n2", running.id, 2));
  CHECK_FALSE(tasks.is_on("n2", TaskId::next(), 1));
  tasks.take_in("n2", claimed);
  CHECK(tasks.usage_of("n2").cores == 0);
  CHECK_FALSE(tasks.is_on("n2", running.id, 1));
  tasks.apply(report(running, TaskState::lost));
  tasks.reconcile("n2", claimed);
  CHECK(tasks.get(running.id).state == TaskState::lost);
  tasks.reconcile("n1", claimed);
  CHECK(tasks.get(running.id).state == TaskState::completed);
}

// fault: goes-back
TEST_CASE_FIXTURE(TasksFixture, "what was given to a node after the backup is found there, by its claim alone") {
  auto other = std::make_shared<RecordingLink>();
  connect(other, "n2");
  for (const char* name : {"n1", "n2"}) nodes.set_draining(name, true);
  auto s = submission(2);
  s.spec.retries = 1;
  const auto waiting = tasks.submit({s}).tasks.at(0).spec;
  const auto running = [&](std::string claim) { return std::vector<KnownAttempt>{{waiting.id, 1, 7, TaskState::running, {}, std::vector{2, 3}, std::move(claim)}}; };
  for (const std::string claim : {std::string(), std::string(waiting.claim.size(), '0')}) {
    tasks.take_in("n2", running(claim));
    CHECK(tasks.get(waiting.id).state == TaskState::pending);
    CHECK_FALSE(tasks.is_on("n2", waiting.id, 1));
    CHECK(tasks.usage_of("n2").cores == 0);
    tasks.reconcile("n2", running(claim));
    CHECK(std::exchange(other->killed, {}) == std::vector{waiting.id});
  }
  tasks.take_in("n2", running(waiting.claim));
  const auto found = tasks.get(waiting.id);
  CHECK(found.state == TaskState::running);
  CHECK(found.node == "n2");
  CHECK(found.spec.epoch == 7);
  CHECK(found.spec.cpus == std::vector{2, 3});
  CHECK(tasks.is_on("n2", waiting.id, 1));
  CHECK(tasks.usage_of("n2").cores == 2);
  tasks.reconcile("n2", running(waiting.claim));
  for (const char* name : {"n1", "n2"}) nodes.set_draining(name, false);
  tasks.schedule();
  CHECK(link->dispatched.empty());
  CHECK(other->dispatched.empty());
  CHECK(other->killed.empty());
  CHECK(tasks.apply(report(found.spec, TaskState::failed)));
  const auto second = tasks.get(waiting.id).spec;
  CHECK(second.attempt == 2);
  CHECK(second.claim != waiting.claim);
}

TEST_CASE_FIXTURE(TasksFixture, "a node is drained, and removed when it is gone") {
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

TEST_CASE("a ledger that is made again keeps what attempts hold that were given up, once") {
  TaskSpec ended, running;
  ended.id = TaskId(1);
  ended.cores = 2;
  running.id = TaskId(2);
  running.cores = 3;
  Ledger before, now;
  for (const auto& spec : {ended, running}) before.hold(spec, "n");
  now.hold(running, "n");
  for (int i = 0; i < 2; ++i) {
    now.take_over(before, [](const Ledger::Key&) { return true; });
    CHECK(now.of("n").cores == 5);
  }
  CHECK(now.release({TaskId(1), 1}));
  CHECK(now.of("n").cores == 3);
}
