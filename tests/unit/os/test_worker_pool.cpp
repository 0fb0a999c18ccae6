#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

#include "os/worker_pool.hpp"

using namespace riverbox::os;
using namespace std::chrono_literals;

TEST_CASE("all work runs, never in more threads than allowed") {
  std::atomic<int> done{0}, now{0}, most{0};
  WorkerPool pool("test", 3);
  for (int i = 0; i < 100; ++i)
    REQUIRE(pool.post([&] {
      const int running = ++now;
      for (int seen = most; running > seen && !most.compare_exchange_weak(seen, running);) {
      }
      std::this_thread::sleep_for(1ms);
      --now;
      ++done;
    }));
  for (int i = 0; i < 1000 && done < 100; ++i) std::this_thread::sleep_for(5ms);
  CHECK(done == 100);
  CHECK(most <= 3);
  CHECK(most >= 2);
}

// fault: worker-hangs
TEST_CASE("one worker that hangs does not stop the others") {
  std::promise<void> release, other;
  WorkerPool pool("hang", 2);
  pool.post([&] { release.get_future().wait(); });
  pool.post([&] { other.set_value(); });
  CHECK(other.get_future().wait_for(5s) == std::future_status::ready);
  release.set_value();
}

// fault: worker-hangs
TEST_CASE("a full queue says so") {
  std::promise<void> release, started;
  auto released = release.get_future().share();
  WorkerPool pool("full", 1, 2);
  REQUIRE(pool.post([&] { started.set_value(), released.wait(); }));
  started.get_future().wait();
  CHECK(pool.post([] {}));
  CHECK(pool.post([] {}));
  CHECK_FALSE(pool.post([] {}));
  release.set_value();
}

TEST_CASE("an exception costs its work, not the thread") {
  std::promise<void> after;
  WorkerPool pool("throw", 1);
  pool.post([] { throw std::runtime_error("boom"); });
  pool.post([] { throw 5; });
  pool.post([&] { after.set_value(); });
  CHECK(after.get_future().wait_for(5s) == std::future_status::ready);
}

TEST_CASE("the end drops what waits and frees what it held") {
  std::promise<void> release, started;
  auto released = release.get_future().share();
  const auto resource = std::make_shared<int>(1);
  std::atomic<bool> ran{false};
  auto pool = std::make_unique<WorkerPool>("end", 1);
  pool->post([&] { started.set_value(), released.wait(); });
  started.get_future().wait();
  pool->post([&, resource] { ran = true; });
  std::thread ending([&] { pool.reset(); });
  std::this_thread::sleep_for(50ms);  // the destructor is waiting for the first work now
  release.set_value();
  ending.join();
  CHECK_FALSE(ran);
  CHECK(resource.use_count() == 1);
}

TEST_CASE("work is done in the log's context of the one who hands it over, and leaves none behind") {
  using riverbox::log::Scope, riverbox::log::context;
  WorkerPool pool("context", 1);
  const auto seen = [&] {
    std::promise<riverbox::log::Context> told;
    REQUIRE(pool.post([&] { told.set_value(context()); }));
    return told.get_future().get();
  };
  {
    const Scope scope("request", "r1");
    CHECK((seen() == context()));
    CHECK((seen() != nullptr));
  }
  CHECK((seen() == nullptr));
}
