#include <doctest/doctest.h>

#include "base/json.hpp"
#include "base/snapshot.hpp"
#include "base/task.hpp"

using namespace riverbox;
using nlohmann::json;
using Action = SnapshotOrder::Action;

TEST_CASE("an order about snapshots arrives as it was sent") {
  const auto there_and_back = [](const SnapshotOrder& order) { return json::parse(json(order).dump()).get<SnapshotOrder>(); };
  for (const Action action : {Action::list, Action::take, Action::remove, Action::publish}) CHECK(there_and_back({.action = action, .vps = TaskId(7)}).action == action);
  const auto order = there_and_back({.action = Action::remove, .vps = TaskId(7530690740397219840), .timestamp = 1795302612});
  CHECK(order.vps == TaskId(7530690740397219840));
  CHECK(order.timestamp == 1795302612);
  CHECK(there_and_back({.action = Action::take, .vps = TaskId(7), .message = "a \xff b"}).message == "a \xEF\xBF\xBD b");
  CHECK_FALSE(there_and_back({.vps = TaskId(7)}).timestamp);
  for (const char* bad : {R"({})", R"({"action":"eat","task_id":"1"})", R"({"action":"list"})", R"({"action":"list","task_id":1})", R"({"action":"remove","task_id":"1","timestamp":"x"})",
                          R"({"action":5,"task_id":"1"})"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(json::parse(bad).get<SnapshotOrder>(), InvalidInput);
  }
}

TEST_CASE("an answer about snapshots arrives as it was sent, and so does why there is none") {
  const auto there_and_back = [](const SnapshotAnswer& answer) { return json::parse(json(answer).dump()).get<SnapshotAnswer>(); };
  const VpsSnapshot one{.timestamp = 5, .tag = "p-snapshot/vps-7:5", .message = "m", .created_at = "2026-11-23T00:00:05Z", .size_bytes = 10, .own_bytes = 3, .in_use = true};
  const auto answer = there_and_back({.snapshots = {one}, .file = "f"});
  CHECK_NOTHROW(answer.check());
  REQUIRE(answer.snapshots.size() == 1);
  CHECK(answer.snapshots[0].timestamp == 5);
  CHECK(answer.snapshots[0].tag == one.tag);
  CHECK(answer.snapshots[0].own_bytes == 3);
  CHECK(answer.snapshots[0].in_use);
  CHECK(answer.file == "f");
  for (const ErrorKind kind : {ErrorKind::not_found, ErrorKind::conflict, ErrorKind::no_space, ErrorKind::internal}) {
    try {
      there_and_back({.error = kind, .message = "because"}).check();
      FAIL("it was not thrown");
    } catch (const Error& error) {
      CHECK(error.kind() == kind);
      CHECK(error.fact() == "because");
    }
  }
  CHECK(there_and_back({.error = ErrorKind::config}).error == ErrorKind::internal);      // the node's own trouble
  CHECK(json::parse(R"({"ok":false,"message":"x"})").get<SnapshotAnswer>().error);        // of a runner that says no word for it
  CHECK_THROWS_AS(json::parse(R"({"ok":true,"snapshots":[{}]})").get<SnapshotAnswer>(), InvalidInput);
}

TEST_CASE("a snapshot is chosen by its number, its tag, or as the latest") {
  std::vector<VpsSnapshot> all;
  CHECK_THROWS_AS(choose_snapshot(all, "latest"), NotFound);
  for (int i = 20; i > 10; --i) all.push_back({.timestamp = i, .tag = "p-snapshot/vps-7:" + std::to_string(i)});
  CHECK(choose_snapshot(all, "latest").timestamp == 20);
  CHECK(choose_snapshot(all, "15").timestamp == 15);
  CHECK(choose_snapshot(all, "p-snapshot/vps-7:11").timestamp == 11);
  for (const char* bad : {"", "1", "015", "p-snapshot/vps-8:11", "newest"}) CHECK_THROWS_AS(choose_snapshot(all, bad), NotFound);
  CHECK_THROWS_WITH_AS(choose_snapshot(all, "9"), doctest::Contains("20 (latest), 19"), NotFound);
}

TEST_CASE("what a start of a VPS begins with is in its spec") {
  TaskSpec spec;
  spec.id = TaskId(7);
  spec.command = "vps";
  spec.vps = {.made = true, .from_snapshot = 1795302612, .discard = true};
  auto again = json::parse(json(spec).dump()).get<TaskSpec>();
  CHECK(again.vps->from_snapshot == 1795302612);
  CHECK(again.vps->discard);
  CHECK(again.vps->begins_anew());
  spec.vps = {.fresh = true};
  CHECK(json::parse(json(spec).dump()).get<TaskSpec>().vps->begins_anew());
  again = json::parse(R"({"id":"7","command":"vps","vps":{"made":true}})").get<TaskSpec>();  // of an older host
  CHECK_FALSE(again.vps->begins_anew());
}
