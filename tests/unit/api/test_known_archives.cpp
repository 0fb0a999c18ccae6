#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "api/known_archives.hpp"
#include "base/error.hpp"

using namespace riverbox;
using namespace riverbox::api;
using namespace std::chrono_literals;

namespace {

struct HangingShare {
  std::atomic<int> reads{0};
  std::atomic<bool> hangs{false}, gone{false};
  std::latch goes_on{1};
  std::vector<std::jthread> workers;
  KnownArchives archives{[this](std::function<void()> work) {
                           workers.emplace_back(std::move(work));
                           return true;
                         },
                         [this] {
                           ++reads;
                           if (hangs) goes_on.wait();
                           if (gone) throw NotFound("there is no share");
                           return std::make_shared<const environment::Listing>();
                         }};
};

}  // namespace

TEST_CASE_FIXTURE(HangingShare, "the listing is as it is now") {
  const auto first = archives.listing(10s);
  CHECK(first);
  CHECK(archives.listing(10s) != first);
  CHECK(reads == 2);
}

TEST_CASE_FIXTURE(HangingShare, "a share that hangs holds up one for a moment, the next not at all, and is asked once") {
  hangs = true;
  CHECK_FALSE(archives.listing(20ms));
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(archives.listing(20ms));
  CHECK(std::chrono::steady_clock::now() - begin < 15s);
  CHECK(workers.size() == 1);
  goes_on.count_down();
  workers.front().join();
  CHECK(archives.listing(10s));
  CHECK(reads == 2);
}

TEST_CASE_FIXTURE(HangingShare, "what was read last is told while the share hangs, and nothing when it is gone") {
  const auto known = archives.listing(10s);
  hangs = true;
  CHECK(archives.listing(1ms) == known);
  goes_on.count_down();
  workers.back().join();
  gone = true;
  CHECK_FALSE(archives.listing(10s));
}

TEST_CASE("where nobody is free to look, nobody waits") {
  KnownArchives archives([](const std::function<void()>&) { return false; }, [] { return std::make_shared<const environment::Listing>(); });
  CHECK_FALSE(archives.listing(1h));
}
