#include <doctest/doctest.h>

#include "base/json.hpp"
#include "store/runner_store.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;

namespace {

TaskReport report(int attempt) {
  TaskReport r;
  r.id = TaskId(7);
  r.attempt = attempt;
  r.state = TaskState::failed;
  r.message = std::string("odd \xff \0 bytes", 13);
  return r;
}

}  // namespace

TEST_CASE("reports wait in order until they are acknowledged") {
  Database db(":memory:", kRunnerMigrations);
  Outbox outbox(db);
  const auto first = outbox.add(report(1)), second = outbox.add(report(2)), third = outbox.add(report(3));
  CHECK(first < second);
  CHECK(second < third);
  auto pending = outbox.pending();
  REQUIRE(pending.size() == 3);
  for (int i = 0; i < 3; ++i) CHECK(pending[static_cast<size_t>(i)].report.attempt == i + 1);
  CHECK(outbox.pending(2).size() == 2);
  outbox.acknowledge(second);
  pending = outbox.pending();
  REQUIRE(pending.size() == 1);
  CHECK(pending[0].sequence == third);
  outbox.acknowledge(second);  // again: harmless
  outbox.acknowledge(third);
  CHECK(outbox.pending().empty());
}

TEST_CASE("reports survive a restart, and sequence numbers never come back") {
  TemporaryDir dir;
  std::int64_t last = 0;
  {
    Database db(dir.path / "r.db", kRunnerMigrations);
    last = Outbox(db).add(report(1));
  }
  {
    Database db(dir.path / "r.db", kRunnerMigrations);
    const auto pending = Outbox(db).pending();
    REQUIRE(pending.size() == 1);
    CHECK(pending[0].report.state == TaskState::failed);
    CHECK(pending[0].report.message == std::string("odd \xEF\xBF\xBD \0 bytes", 15));
    Outbox(db).acknowledge(last);
  }
  Database db(dir.path / "r.db", kRunnerMigrations);
  CHECK(Outbox(db).pending().empty());
  CHECK(Outbox(db).add(report(2)) > last);
}

TEST_CASE("attempts are remembered until they are removed") {
  TemporaryDir dir;
  TaskSpec spec;
  spec.id = TaskId(9);
  spec.command = "x";
  spec.numa = 1;
  {
    Database db(dir.path / "r.db", kRunnerMigrations);
    AttemptRepository attempts(db);
    attempts.add(spec);
    attempts.add(spec);
    spec.attempt = 2;
    attempts.add(spec);
  }
  Database db(dir.path / "r.db", kRunnerMigrations);
  AttemptRepository attempts(db);
  REQUIRE(attempts.all().size() == 2);
  attempts.remove(TaskId(9), 1);
  attempts.remove(TaskId(9), 1);
  const auto left = attempts.all();
  REQUIRE(left.size() == 1);
  CHECK(nlohmann::json(left[0]) == nlohmann::json(spec));
}
