#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "base/error.hpp"
#include "store/event_repository.hpp"
#include "store/host_store.hpp"
#include "store/token_repository.hpp"

using namespace riverbox;
using namespace riverbox::store;
using namespace std::chrono_literals;

namespace {

using Query = EventRepository::Query;

struct EventsFixture {
  Database db{":memory:", kHostMigrations};
  TaskRepository tasks{db};
  NodeRepository nodes{db};
  TokenRepository tokens{db};
  EventRepository events{db};
  const std::vector<std::string_view> all{"task", "node", "environment", "host", "token"};

  TaskRecord task(std::uint64_t id, TaskState state = TaskState::pending) {
    TaskRecord record;
    record.spec.id = TaskId(id);
    record.spec.environment = "torch";
    record.batch_id = "1";
    record.state = state;
    record.owner = "alice";
    if (state == TaskState::assigning) record.node = "n1", record.placement = "the only one";
    return record;
  }
  bool report(std::uint64_t id, TaskState from, TaskState to, std::optional<int> exit_code = {}, const std::string& message = {}, int attempt = 1) {
    TaskReport r;
    r.id = TaskId(id);
    r.attempt = attempt;
    r.state = to;
    r.exit_code = exit_code;
    r.message = message;
    return tasks.transition(TaskId(id), {from}, r);
  }
  // "task submitted 1", ...
  std::vector<std::string> told(const Query& query) {
    std::vector<std::string> out;
    for (const auto& e : events.list(query)) out.push_back(e.type + " " + e.action + " " + e.subject + (e.message.empty() ? "" : ": " + e.message));
    return out;
  }
  std::vector<std::string> told() { return told({.types = all, .limit = 1000}); }
  void happen(int count) {
    for (int i = 0; i < count; ++i) events.append({.type = "environment", .action = "started", .subject = std::to_string(i)});
  }
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(EventsFixture, "what becomes of a task is told, step by step, with its owner and node") {
  tasks.insert({task(1), task(2, TaskState::assigning)});
  TaskRecord placed = task(1);
  placed.node = "n2";
  placed.placement = "most free cores";
  CHECK(tasks.assign({placed, task(2)}).size() == 1);
  CHECK(report(1, TaskState::assigning, TaskState::syncing, {}, "loading 43 %"));
  CHECK(report(1, TaskState::syncing, TaskState::running));
  CHECK(report(1, TaskState::running, TaskState::running));
  CHECK(report(1, TaskState::running, TaskState::paused));
  CHECK(report(1, TaskState::paused, TaskState::running));
  CHECK(report(1, TaskState::running, TaskState::lost, {}, "nothing was heard"));
  CHECK(report(1, TaskState::lost, TaskState::running));
  CHECK_FALSE(report(1, TaskState::assigning, TaskState::running));
  TaskRecord again = task(1);
  again.spec.attempt = 2;
  again.node = "n2";
  again.message = "Attempt 1 of 2 on n2: failed.";
  CHECK(tasks.requeue(again));
  CHECK_FALSE(tasks.requeue(again));
  CHECK(events.list({.types = all}).back().node == "n2");
  CHECK(report(1, TaskState::pending, TaskState::failed, 3, "Exit code 3.", 2));
  CHECK(told() == Lines{"task submitted 1: torch", "task submitted 2: torch", "task placed 2: the only one", "task placed 1: most free cores", "task started 1", "task paused 1",
                        "task resumed 1", "task lost 1: nothing was heard", "task found 1", "task retried 1: Attempt 1 of 2 on n2: failed.",
                        "task ended 1: failed, exit code 3: Exit code 3."});
  for (const auto& event : events.list({.types = all})) CHECK(event.owner == "alice");
}

TEST_CASE_FIXTURE(EventsFixture, "what has not been stored has not happened") {
  tasks.insert({task(1)});
  CHECK_THROWS(tasks.insert({task(2), task(1)}));
  CHECK(told() == Lines{"task submitted 1: torch"});
}

TEST_CASE_FIXTURE(EventsFixture, "nodes and tokens are told of, and no token is") {
  nodes.upsert_and_advance_epoch({.hostname = "n1"}, true);
  nodes.upsert_and_advance_epoch({.hostname = "n1"}, false);
  nodes.set_draining("n1", true);
  nodes.set_draining("n1", true);
  nodes.set_draining("n1", false);
  nodes.record("n1", false, "the link broke");
  nodes.remove("n1");
  tokens.insert({.id = "t1", .hash = "hash-of-t1", .user = "alice", .role = Role::user, .note = {}, .created_at = "x", .expires_at = {}, .last_used_at = {}});
  tokens.insert({.id = "t2", .hash = "hash-of-t2", .user = "n1", .role = Role::node, .note = {}, .created_at = "x", .expires_at = {}, .last_used_at = {}});
  CHECK(tokens.remove("t1"));
  CHECK_FALSE(tokens.remove("t1"));
  CHECK(told() == Lines{"node online n1", "node drained n1", "node resumed n1", "node offline n1: the link broke", "node removed n1", "token created t1: of alice, role user",
                        "node joined n1", "token revoked t1: of alice, role user"});
  for (const auto& line : told()) CHECK(line.find("hash") == std::string::npos);
}

TEST_CASE_FIXTURE(EventsFixture, "one asks for types, for the tasks of one owner, for what follows, for the newest") {
  tasks.insert({task(1)});
  auto other = task(2);
  other.owner = "bob";
  tasks.insert({other});
  happen(3);
  CHECK(told({.types = {"task"}}).size() == 2);
  CHECK(told({.types = {"task", "environment"}, .owner = "alice"}) == Lines{"task submitted 1: torch", "environment started 0", "environment started 1", "environment started 2"});
  CHECK(told({.types = {"node"}}).empty());
  CHECK(told({.types = {}}).empty());
  CHECK(told({.types = all, .newest = true, .limit = 2}) == Lines{"environment started 1", "environment started 2"});
  CHECK(told({.types = all, .subject = "1", .newest = true}) == Lines{"task submitted 1: torch", "environment started 1"});
  CHECK(told({.types = all, .owner = "bob", .subject = "1"}) == Lines{"environment started 1"});
  CHECK(told({.types = all, .limit = 1}) == Lines{"task submitted 1: torch"});
  const auto ids = events.list({.types = all});
  CHECK(told({.types = all, .after = ids[3].id}) == Lines{"environment started 2"});
  CHECK(told({.types = all, .after = events.newest()}).empty());
}

TEST_CASE_FIXTURE(EventsFixture, "one asks for a time") {
  CHECK(told({.types = all, .since = wall_now() - 1h}).empty());
  CHECK(events.newest() == 0);
  happen(10);
  std::this_thread::sleep_for(2ms);
  const auto between = wall_now();
  std::this_thread::sleep_for(2ms);
  happen(7);
  CHECK(told({.types = all, .since = between, .limit = 100}).size() == 7);
  CHECK(told({.types = all, .until = between, .limit = 100}).size() == 10);
  CHECK(told({.types = all, .since = between, .until = between}).empty());
  CHECK(told({.types = all, .since = WallTime::min(), .until = WallTime::max(), .limit = 100}).size() == 17);
  CHECK(told({.types = all, .since = between + 1h}).empty());
  const auto first = events.list({.types = all}).front();
  CHECK(first.time <= between);
  CHECK(first.time > between - 1min);
}

TEST_CASE_FIXTURE(EventsFixture, "the oldest go, by age and by number, and ids go on") {
  happen(50);
  CHECK_FALSE(events.prune(WallTime::min(), 100, 10));
  CHECK(events.prune(WallTime::min(), 20, 10));  // ten at a time
  CHECK(events.prune(WallTime::min(), 20, 10));
  CHECK_FALSE(events.prune(WallTime::min(), 20, 10));
  CHECK(told().size() == 20);
  CHECK(told().front() == "environment started 30");
  const auto last = events.newest();
  CHECK_FALSE(events.prune(wall_now() + 1h, 20, 1000));
  CHECK(told().size() == 1);  // the newest stays: its id must not be given twice
  happen(1);
  CHECK(events.newest() == last + 1);
  CHECK(told({.types = all, .since = WallTime::min()}).size() == 2);
}

TEST_CASE_FIXTURE(EventsFixture, "a message is as long as it may be, and ends with a whole character") {
  std::string text(499, 'x');
  events.append({.type = "host", .action = "started", .subject = "host", .message = text + "\xc3\xa9 and more"});
  CHECK(events.list({.types = all}).front().message == text + "...");
}

TEST_CASE_FIXTURE(EventsFixture, "several are written in one transaction, in their order") {
  const auto before = db.changes();
  events.append({{.type = "environment", .action = "loaded", .subject = "jax"}, {.type = "environment", .action = "loaded", .subject = "torch"}});
  CHECK(db.changes() == before + 1);
  CHECK(told() == Lines{"environment loaded jax", "environment loaded torch"});
}
