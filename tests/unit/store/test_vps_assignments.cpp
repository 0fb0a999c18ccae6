#include <doctest/doctest.h>

#include "store/event_repository.hpp"
#include "store/vps_assignments.hpp"
#include "store/vps_repository.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

TaskRecord annas(std::uint64_t id) {
  TaskRecord record;
  record.spec.id = TaskId(id);
  record.spec.command = "vps";
  record.spec.vps.emplace();
  record.batch_id = std::to_string(id);
  record.owner = "anna";
  record.state = TaskState::running;
  record.submitted_at = "2026-11-21T23:10:12.000000000Z";
  return record;
}

struct Sharing {
  Database db{":memory:", kHostMigrations};
  TaskRepository tasks{db};
  VpsRepository vpses{db};
  VpsAssignments assignments{db};
  EventRepository events{db};

  void share(const TaskRecord& vps, const std::vector<std::string>& users, const char* at = "2026-11-22T10:00:00Z") { assignments.add(vps, users, at); }
  size_t told_of(const TaskRecord& vps, const std::string& user) { return events.list({.types = {"task"}, .owner = user, .subject = vps.spec.id.str()}).size(); }
};

}  // namespace

TEST_CASE_FIXTURE(Sharing, "who is let in finds it in the lists and is told of it, until no more") {
  const auto box = annas(1), other = annas(2);
  tasks.insert({box, other});
  CHECK(vpses.list("bob").empty());
  CHECK(told_of(box, "bob") == 0);
  share(box, {"bob", "carol"});
  CHECK(assignments.has(TaskId(1), "bob"));
  CHECK_FALSE(assignments.has(TaskId(2), "bob"));
  REQUIRE(vpses.list("bob").size() == 1);
  CHECK(vpses.list("bob").front().spec.id == TaskId(1));
  CHECK(vpses.shared_with("bob").size() == 1);
  CHECK(vpses.shared_with("anna").empty());
  CHECK(vpses.list("anna").size() == 2);
  CHECK(vpses.list().size() == 2);
  CHECK(told_of(box, "bob") > 0);
  CHECK(told_of(other, "bob") == 0);
  CHECK(assignments.remove(box, "bob"));
  CHECK_FALSE(assignments.remove(box, "bob"));
  CHECK(vpses.list("bob").empty());
  CHECK(told_of(box, "bob") == 0);
  CHECK(vpses.list("carol").size() == 1);
}

TEST_CASE_FIXTURE(Sharing, "who is in stays so since the first time, and nobody is in what is gone") {
  const auto box = annas(1);
  tasks.insert({box});
  share(box, {"bob"});
  share(box, {"bob", "carol"}, "2026-11-23T10:00:00Z");
  const auto guests = assignments.of(TaskId(1));
  REQUIRE(guests.size() == 2);
  CHECK(guests[0].user == "bob");
  CHECK(guests[0].assigned_at == "2026-11-22T10:00:00Z");
  vpses.remove(box);
  CHECK(assignments.of(TaskId(1)).empty());
  CHECK_FALSE(assignments.has(TaskId(1), "bob"));
  CHECK_THROWS(share(box, {"dora"}));  // there is none
}

TEST_CASE("the VPSs of a database of before are their owners' alone") {
  TemporaryDir dir;
  {
    const std::vector<std::string_view> before(kHostMigrations.begin(), kHostMigrations.begin() + 12);
    Database old(dir.path / "host.db", before);
    TaskRepository(old).insert({annas(1)});
  }
  Database database(dir.path / "host.db", kHostMigrations);
  CHECK(VpsRepository(database).list("anna").size() == 1);
  CHECK(VpsRepository(database).list("bob").empty());
  CHECK(VpsAssignments(database).of(TaskId(1)).empty());
}
