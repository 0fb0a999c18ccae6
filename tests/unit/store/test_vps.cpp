#include <doctest/doctest.h>

#include "store/vps_repository.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

TaskRecord vps(std::uint64_t id, std::string name, std::string owner = "anna") {
  TaskRecord record;
  record.spec.id = TaskId(id);
  record.spec.name = std::move(name);
  record.spec.command = "vps";
  record.spec.environment = "torch";
  record.spec.vps.emplace();
  record.batch_id = std::to_string(id);
  record.node = "n1";
  record.owner = std::move(owner);
  record.state = TaskState::running;
  record.submitted_at = "2026-11-21T23:10:12.000000000Z";
  return record;
}

struct Vpses {
  Database db{":memory:", kHostMigrations};
  TaskRepository tasks{db};
  VpsRepository vpses{db};

  bool end(std::uint64_t id) {
    const auto task = tasks.find(TaskId(id));
    return tasks.transition(TaskId(id), {TaskState::running}, {.id = TaskId(id), .attempt = task->spec.attempt, .epoch = task->spec.epoch, .state = TaskState::stopped});
  }
};

}  // namespace

TEST_CASE_FIXTURE(Vpses, "VPSs have a list of their own, are found by their name, and no two have one") {
  tasks.insert({vps(1, "box")});
  tasks.insert({vps(2, ""), vps(3, "", "bob")});
  CHECK(tasks.list({}).empty());
  CHECK(tasks.list({.text = "box"}).empty());
  CHECK(tasks.list({.states = {TaskState::running}}).empty());
  for (const auto& [state, count] : tasks.count_by_state()) CHECK(count == 0);
  REQUIRE(vpses.list().size() == 3);
  CHECK(vpses.list().front().spec.id == TaskId(3));
  CHECK(vpses.list("anna").size() == 2);
  CHECK(vpses.named("box") == TaskId(1));
  CHECK(vpses.named("other") == std::nullopt);
  CHECK_THROWS(tasks.insert({vps(4, "box")}));
  CHECK(tasks.unfinished().size() == 3);  // they hold their places
}

TEST_CASE_FIXTURE(Vpses, "one that has ended can be started again, once for each attempt") {
  tasks.insert({vps(1, "box")});
  auto again = *tasks.find(TaskId(1));
  ++again.spec.attempt;
  CHECK_FALSE(vpses.start_again(again));  // it runs
  REQUIRE(end(1));
  CHECK(vpses.start_again(again));
  CHECK_FALSE(vpses.start_again(again));
  const auto found = *tasks.find(TaskId(1));
  CHECK(found.state == TaskState::pending);
  CHECK(found.spec.attempt == 2);
  CHECK(found.completed_at.empty());
}

TEST_CASE_FIXTURE(Vpses, "what is stopped stays for ever, and what is removed is remembered until it is gone") {
  tasks.insert({vps(1, "box")});
  REQUIRE(end(1));
  tasks.remove_old("2100-01-01T00:00:00Z", false, 100);
  CHECK(tasks.with_old_output("2100-01-01T00:00:00Z", {}, 100).empty());
  const auto record = tasks.find(TaskId(1));
  REQUIRE(record);
  vpses.remove(*record);
  CHECK_FALSE(tasks.find(TaskId(1)));
  CHECK(vpses.named("box") == std::nullopt);
  CHECK(vpses.leftovers_on("n1") == std::vector<TaskId>{TaskId(1)});
  CHECK(vpses.leftovers_on("n2").empty());
  vpses.is_gone(TaskId(1));
  CHECK(vpses.leftovers_on("n1").empty());
}
