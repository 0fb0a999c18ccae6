#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "host/queue.hpp"

using namespace riverbox;
using namespace riverbox::host;
using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 60s;
const Queue::Time kStart{};

Machine node(const std::string& name, int cores, std::vector<int> gpus = {}) {
  return {.name = name, .online = true, .cores = cores, .memory_bytes = 64ull << 30, .gpus = std::move(gpus)};
}

std::string starts(const std::vector<Queue::Start>& starts) {
  std::string text;
  for (const auto& start : starts) text += (text.empty() ? "" : " ") + start.id.str() + "@" + start.node;
  return text;
}

}  // namespace

TEST_CASE("queue: higher priority first, then the older one") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 2)};
  queue.add(TaskId(1), 0, {}, kStart);
  queue.add(TaskId(2), 5, {}, kStart);
  queue.add(TaskId(3), 0, {}, kStart);
  CHECK(starts(queue.pass(nodes, kStart, 10)) == "2@a 1@a");
  CHECK(queue.size() == 1);
  CHECK(queue.explain(TaskId(3), nodes)->position == 1);
  CHECK(queue.explain(TaskId(3), nodes)->refusals.at(0).second == "Insufficient available cores (0 of 2 free)");
  CHECK_FALSE(queue.explain(TaskId(1), nodes));
  CHECK(queue.remove(TaskId(3)));
  CHECK_FALSE(queue.remove(TaskId(3)));
}

TEST_CASE("queue: the node that has the image, then one without GPUs, then the emptiest") {
  std::vector<Machine> nodes{node("gpu", 64, {0, 1}), node("big", 32), node("small", 8)};
  nodes[2].images = {"torch"};
  const auto placed = [&](const Demand& demand) {
    Queue queue(kPatience);
    queue.add(TaskId(1), 0, demand, kStart);
    auto copy = nodes;
    return starts(queue.pass(copy, kStart, 10));
  };
  CHECK(placed({.image = "torch"}) == "1@small");
  CHECK(placed({.cores = 16, .image = "torch"}) == "1@big");
  CHECK(placed({}) == "1@big");
  CHECK(placed({.gpu_count = 2}) == "1@gpu");
  CHECK(placed({.node = "small"}) == "1@small");
  CHECK(placed({.image = "torch", .rather_not = "small"}) == "1@big");
  CHECK(placed({.rather_not = "big"}) == "1@small");
  nodes[1].draining = true;
  CHECK(placed({.cores = 16}) == "1@gpu");
  CHECK(placed({.cores = 16, .rather_not = "gpu"}) == "1@gpu");  // nowhere else
}

TEST_CASE("queue: GPUs are never given twice") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 64, {0, 1, 2})};
  queue.add(TaskId(1), 0, {.gpus = {1}}, kStart);
  queue.add(TaskId(2), 0, {.gpu_count = 2}, kStart);
  queue.add(TaskId(3), 0, {.gpu_count = 1}, kStart);
  const auto got = queue.pass(nodes, kStart, 10);
  REQUIRE(starts(got) == "1@a 2@a");
  CHECK(got[0].gpus == std::vector{1});
  CHECK(got[1].gpus == std::vector{0, 2});
}

TEST_CASE("queue: smaller ones overtake, until the first has waited long enough; then its node is kept") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 4), node("b", 4)};
  nodes[0].used.cores = 3;
  nodes[1].used.cores = 2;
  queue.add(TaskId(1), 0, {.cores = 4}, kStart);
  queue.add(TaskId(2), 0, {.cores = 1}, kStart);
  CHECK(starts(queue.pass(nodes, kStart, 10)) == "2@b");
  queue.add(TaskId(3), 0, {.cores = 1}, kStart + kPatience);
  queue.add(TaskId(4), 0, {.cores = 1}, kStart + kPatience);
  nodes[1].used.cores = 2;
  CHECK(starts(queue.pass(nodes, kStart + kPatience, 10)) == "3@a");  // b, where less has to end, is kept
  CHECK(queue.explain(TaskId(1), nodes)->kept == "b");
  CHECK(queue.explain(TaskId(4), nodes)->refusals.at(1).second == "It is kept for a task that has waited longer");
  nodes[0].used.cores = 0;  // the other node becomes free first
  CHECK(starts(queue.pass(nodes, kStart + kPatience, 10)) == "1@a 4@b");
}

TEST_CASE("queue: the kept node stays the same, though another becomes better") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 8), node("b", 8)};
  nodes[0].used.cores = 5;
  nodes[1].used.cores = 4;
  queue.add(TaskId(1), 0, {.cores = 6}, kStart);
  queue.pass(nodes, kStart + kPatience, 10);
  CHECK(queue.explain(TaskId(1), nodes)->kept == "b");
  nodes[0].used.cores = 3;
  queue.pass(nodes, kStart + kPatience, 10);
  CHECK(queue.explain(TaskId(1), nodes)->kept == "b");
}

TEST_CASE("queue: on a kept node starts what leaves enough") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 8, {0})};
  nodes[0].used = {2, 0, {0}};
  const Queue::Time later = kStart + kPatience;
  queue.add(TaskId(1), 0, {.cores = 2, .gpu_count = 1}, kStart);  // the GPU is what it waits for
  queue.add(TaskId(2), 0, {.cores = 4}, later);
  queue.add(TaskId(3), 0, {.cores = 1}, later);
  CHECK(starts(queue.pass(nodes, later, 10)) == "2@a");
  CHECK(queue.explain(TaskId(3), nodes)->refusals.at(0).second == "It is kept for a task that has waited longer");
  nodes[0].used.gpus.clear();
  CHECK(starts(queue.pass(nodes, later, 10)) == "1@a");
}

TEST_CASE("queue: a task for a node that is away holds up nobody") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 4), node("b", 4)};
  nodes[0].online = false;
  queue.add(TaskId(1), 9, {.node = "a"}, kStart);
  queue.add(TaskId(2), 9, {.node = "gone"}, kStart);
  queue.add(TaskId(3), 0, {.cores = 4}, kStart);
  CHECK(starts(queue.pass(nodes, kStart + 1h, 10)) == "3@b");
  CHECK(queue.explain(TaskId(1), nodes)->refusals.at(0).second == "Node status is offline");
  CHECK(queue.explain(TaskId(2), nodes)->refusals.empty());
}

TEST_CASE("queue: so many at once, the others the next time") {
  Queue queue(kPatience);
  std::vector<Machine> nodes{node("a", 100)};
  for (unsigned i = 1; i <= 50; ++i) queue.add(TaskId(i), 0, {}, kStart);
  CHECK(queue.pass(nodes, kStart, 20).size() == 20);
  CHECK(queue.pass(nodes, kStart, 20).size() == 20);
  CHECK(queue.pass(nodes, kStart, 20).size() == 10);
  CHECK(nodes[0].used.cores == 50);
}
