#include <doctest/doctest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "base/json.hpp"
#include "runner/report_queue.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using namespace riverbox::runner;
using nlohmann::json;

namespace {

// What the queue delivered, in order.
class Sink {
public:
  void take(std::uint64_t generation, const std::string& message) {
    std::lock_guard lock(mutex_);
    messages_.emplace_back(generation, json::parse(message));
    changed_.notify_all();
  }
  std::vector<std::pair<std::uint64_t, json>> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return messages_.size() >= count; });
    return messages_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::uint64_t, json>> messages_;
};

TaskReport report(unsigned id, TaskState state) {
  TaskReport r;
  r.id = TaskId(id);
  r.state = state;
  return r;
}

struct QueueFixture {
  test::TemporaryFolder dir;
  store::Database database{dir.path() / "r.db", store::kRunnerMigrations};
  Sink sink;
  ReportQueue::Deliver deliver() {
    return [this](std::uint64_t generation, std::string message) { sink.take(generation, message); };
  }
};

}  // namespace

TEST_CASE("what was reported while the host was away is sent first, in order, then synced, then the rest") {
  QueueFixture f;
  ReportQueue queue(f.database, f.deliver());
  for (unsigned i = 1; i <= 50; ++i) queue.add(report(i, TaskState::running));
  queue.replay(3);
  queue.add(report(51, TaskState::completed));
  auto got = f.sink.wait_for(52);
  REQUIRE(got.size() == 52);
  for (unsigned i = 0; i < 50; ++i) {
    CHECK(got[i].first == 3);
    CHECK(got[i].second["report"]["id"] == std::to_string(i + 1));
    if (i > 0) CHECK(got[i].second["sequence"].get<int>() > got[i - 1].second["sequence"].get<int>());
  }
  CHECK(got[50].second["type"] == "synced");
  CHECK(got[51].second["report"]["state"] == "completed");
}

TEST_CASE("unacknowledged reports come again on the next link, also after a restart; acknowledged ones do not") {
  QueueFixture f;
  std::int64_t second = 0;
  {
    ReportQueue queue(f.database, f.deliver());
    queue.replay(1);
    for (unsigned i = 1; i <= 3; ++i) queue.add(report(i, TaskState::running));
    auto got = f.sink.wait_for(4);
    REQUIRE(got.size() == 4);
    second = got[2].second["sequence"];
    queue.acknowledge(second);
    queue.replay(2);
    got = f.sink.wait_for(6);
    REQUIRE(got.size() == 6);
    CHECK(got[4].second["report"]["id"] == "3");
    CHECK(got[5].second["type"] == "synced");
  }
  Sink later;
  ReportQueue queue(f.database, [&](std::uint64_t generation, std::string message) { later.take(generation, message); });
  queue.replay(1);
  auto got = later.wait_for(2);
  REQUIRE(got.size() == 2);
  CHECK(got[0].second["report"]["id"] == "3");
}

TEST_CASE("an acknowledgement of what was never sent deletes nothing") {
  QueueFixture f;
  ReportQueue queue(f.database, f.deliver());
  queue.replay(1);
  queue.add(report(1, TaskState::running));
  f.sink.wait_for(2);
  queue.acknowledge(1'000'000);
  queue.replay(2);
  auto got = f.sink.wait_for(4);
  REQUIRE(got.size() == 4);
  CHECK(got[2].second["report"]["id"] == "1");
}

TEST_CASE("a final report is durable, and its attempt forgotten, when finish() returns") {
  QueueFixture f;
  store::AttemptRepository attempts(f.database);
  TaskSpec task;
  task.id = TaskId(9);
  task.command = "x";
  attempts.add(task);
  {
    ReportQueue queue(f.database, f.deliver());
    queue.finish(report(9, TaskState::completed));
  }
  CHECK(attempts.all().empty());
  CHECK(store::Outbox(f.database).pending().size() == 1);
}

TEST_CASE("reports of many threads arrive in the order of their numbers") {
  QueueFixture f;
  ReportQueue queue(f.database, f.deliver());
  queue.replay(1);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 25; ++i) queue.add(report(t * 100 + i + 1, TaskState::running));
    });
  for (auto& thread : threads) thread.join();
  auto got = f.sink.wait_for(101);
  REQUIRE(got.size() == 101);
  for (size_t i = 2; i < got.size(); ++i) CHECK(got[i].second["sequence"].get<int>() > got[i - 1].second["sequence"].get<int>());
}

TEST_CASE("what is to happen after a report happens after it") {
  QueueFixture f;
  ReportQueue queue(f.database, f.deliver());
  queue.replay(1);
  for (unsigned i = 1; i <= 20; ++i) {
    std::promise<size_t> sent;
    queue.add(report(i, TaskState::paused));
    queue.after([&] { sent.set_value(f.sink.wait_for(0).size()); });
    CHECK(sent.get_future().get() == 1 + i);  // "synced" and so many reports
  }
}

TEST_CASE("who waits for a report is answered although the store fails") {
  QueueFixture f;
  ReportQueue queue(f.database, f.deliver());
  queue.replay(1);
  f.sink.wait_for(1);
  f.database.write([](store::Database::Connection& connection) { connection.prepare("ALTER TABLE outbox RENAME TO gone").run(); });
  std::promise<void> answered;
  queue.add(report(1, TaskState::paused));
  queue.after([&] { answered.set_value(); });
  CHECK(answered.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  queue.stop();
}
