#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/strings.hpp"
#include "host/retention.hpp"

using namespace riverbox;
using namespace riverbox::host;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::hours kDay{24};

struct RetentionFixture {
  store::Database database{":memory:", store::kHostMigrations};
  store::TaskRepository tasks{database};
  fs::path share = fs::temp_directory_path() / ("riverbox-retention-" + random_hex(6));
  const WallTime now = parse_rfc3339("2026-11-22T12:00:00Z");

  RetentionFixture() { fs::create_directories(share); }
  ~RetentionFixture() { fs::remove_all(share); }

  Retention retention(int task_days, int output_days) {
    return {tasks, share, [](TaskId id, int attempt, bool is_stderr) { return "logs/" + id.str() + (is_stderr ? "/err." : "/out.") + std::to_string(attempt); },
            {.tasks = kDay * task_days, .output = kDay * output_days}};
  }
  // A task that ended so many days ago; 0: it runs.
  TaskId task(std::uint64_t id, int days, std::vector<TaskId> after = {}) {
    store::TaskRecord record;
    record.spec.id = TaskId(id);
    record.spec.command = "x";
    record.spec.attempt = 2;
    record.spec.after = std::move(after);
    record.batch_id = std::to_string(id);
    record.state = days > 0 ? TaskState::completed : TaskState::pending;
    record.submitted_at = to_rfc3339(now - kDay * (days + 1));
    if (days > 0) record.completed_at = to_rfc3339(now - kDay * days);
    tasks.insert({record}, "client-" + std::to_string(id));
    return record.spec.id;
  }
  fs::path file(const std::string& name) {
    fs::create_directories((share / name).parent_path());
    std::ofstream(share / name) << "text";
    return share / name;
  }
};

}  // namespace

TEST_CASE_FIXTURE(RetentionFixture, "old tasks go, with what their clients called them; what an unfinished task is to follow stays") {
  const auto old = task(1, 400), followed = task(2, 400), young = task(3, 300), running = task(4, 0, {followed});
  CHECK_FALSE(retention(365, 0).remove_tasks(now));
  CHECK_FALSE(tasks.find(old));
  CHECK(tasks.find(followed));
  CHECK(tasks.find(young));
  CHECK(tasks.find(running));
  CHECK(tasks.submitted_as("client-1").empty());
  CHECK(tasks.submitted_as("client-3").size() == 1);
  tasks.insert({[&] {
    store::TaskRecord again;
    again.spec.id = TaskId(99);
    again.batch_id = "99";
    return again;
  }()}, "client-1");  // the name is free again
  CHECK(tasks.submitted_as("client-1").size() == 1);
}

TEST_CASE_FIXTURE(RetentionFixture, "for ever is for ever, and a portion is small") {
  for (std::uint64_t id = 1; id <= 501; ++id) task(id, 4000);
  task(1000, 1);
  CHECK_FALSE(retention(0, 0).remove_tasks(now));
  CHECK(retention(0, 0).due_output(now).empty());
  CHECK(tasks.list({.limit = 1000}).size() == 502);
  CHECK(retention(365, 0).remove_tasks(now));  // there is more
  CHECK_FALSE(retention(365, 0).remove_tasks(now));
  CHECK(tasks.list({.limit = 1000}).size() == 1);
}

TEST_CASE_FIXTURE(RetentionFixture, "output goes with all attempts and its folder, once; tasks are known as long as it is there") {
  const auto old = task(1, 400), young = task(2, 5);
  const auto first = file("logs/1/out.1"), second = file("logs/1/err.2"), other = file("logs/2/out.1");
  const auto r = retention(30, 10);
  CHECK_FALSE(r.remove_tasks(now));
  CHECK(tasks.find(old));
  const auto due = r.due_output(now);
  REQUIRE(due.size() == 1);
  const auto removed = r.remove_output(due);
  CHECK(removed == std::vector{old});
  CHECK_FALSE(fs::exists(first.parent_path()));
  CHECK(fs::exists(other));
  r.output_is_removed(removed);
  CHECK(r.due_output(now).empty());
  CHECK_FALSE(r.remove_tasks(now));
  CHECK_FALSE(tasks.find(old));
  CHECK(tasks.find(young));
}

TEST_CASE_FIXTURE(RetentionFixture, "what cannot be removed is tried again, and nothing outside of the share is touched") {
  const auto outside = fs::path(share.string() + "-outside");
  std::ofstream(outside) << "mine";
  store::TaskRecord record;
  record.spec.id = TaskId(7);
  record.spec.stdout_file = "../" + outside.filename().string();
  record.spec.stderr_file = outside.string();
  record.state = TaskState::failed;
  record.submitted_at = record.completed_at = to_rfc3339(now - kDay * 50);
  tasks.insert({record});
  task(8, 1);
  file("logs/7/out.1/is a folder/with something");
  const auto r = retention(0, 10);
  const auto due = r.due_output(now);
  CHECK(r.remove_output(due).empty());
  CHECK(r.due_output(now).size() == 1);
  CHECK(r.due_output(now, {due[0].completed_at, due[0].spec.id}).empty());  // in this round, so that others have their turn
  CHECK(fs::exists(outside));
  fs::remove(outside);
}

// fault: share-hangs
TEST_CASE_FIXTURE(RetentionFixture, "what a share that is not mounted does not show is not taken for removed") {
  task(1, 400);
  fs::remove_all(share);
  const auto r = retention(0, 10);
  CHECK(r.remove_output(r.due_output(now)).empty());
  fs::create_directories(share);
  CHECK(r.remove_output(r.due_output(now)).empty());
  file("something");
  CHECK(r.remove_output(r.due_output(now)).size() == 1);
}

// fault: clock-wrong
TEST_CASE_FIXTURE(RetentionFixture, "a clock that is years ahead does not cost the history") {
  const auto last_week = task(1, 7);
  CHECK_FALSE(retention(365, 10).remove_tasks(now + kDay * 5000));
  CHECK(tasks.find(last_week));
  CHECK(retention(365, 60).due_output(now + kDay * 5000).empty());
}
