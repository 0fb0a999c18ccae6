#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.hpp"
#include "runner/vps_turns.hpp"

using namespace riverbox;
using riverbox::runner::VpsTurns;

TEST_CASE("one thing at a time is done with a VPS, and others do not care") {
  VpsTurns turns;
  const TaskId one(1), other(2);
  {
    const auto turn = turns.take(one, "its snapshot is being taken");
    CHECK_THROWS_WITH_AS(turns.take(one, "something else"), doctest::Contains("its snapshot is being taken"), Conflict);
    CHECK_FALSE(turns.try_take(one, "something else"));
    CHECK(turns.try_take(other, "something else"));
  }
  auto first = turns.try_take(one, "a");
  REQUIRE(first);
  auto moved = std::move(*first);
  first.reset();
  CHECK_FALSE(turns.try_take(one, "b"));  // it goes with the one that has it now
}

TEST_CASE("a start waits for its turn, and is waited for") {
  VpsTurns turns;
  const TaskId id(1);
  std::optional<VpsTurns::Turn> snapshot(turns.take(id, "its snapshot is being taken"));
  std::string told;
  struct GivenUp {};
  CHECK_THROWS_AS(turns.wait_for(id, "it is being started", [&](const std::string& what) { told = what; throw GivenUp(); }), GivenUp);
  CHECK(told == "its snapshot is being taken");
  std::atomic<bool> started = false;
  std::thread start([&] {
    const auto turn = turns.wait_for(id, "it is being started", [](const std::string&) {});
    started = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(started);
  snapshot.reset();
  while (!started) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK_NOTHROW(turns.take(id, "another snapshot"));  // a start takes no time
  start.join();
  turns.wait_until_free(id, [](const std::string&) { FAIL("nobody is at it"); });
}
