#include <doctest/doctest.h>

#include "host/ledger.hpp"
#include "host/scheduler.hpp"

using namespace riverbox;
using namespace riverbox::host;

namespace {

Machine gpu_node() { return {.name = "a", .online = true, .cores = 4, .memory_bytes = 8ull << 30, .gpus = {0, 1}, .numa = {0}}; }

}  // namespace

TEST_CASE("a node refuses with the reason, and fits() agrees with it") {
  const auto reason = [](const Machine& machine, const Demand& demand) {
    const auto why = refusal(machine, demand);
    CHECK(fits(machine, demand) == !why);
    return why ? *why : "";
  };
  Machine node = gpu_node();
  CHECK(reason(node, {.cores = 4}) == "");
  CHECK(reason(node, {.node = "b"}) == "Another node is named");
  CHECK(reason(node, {.cores = 5}) == "Insufficient cores (the node has 4)");
  CHECK(reason(node, {.memory_bytes = 9ull << 30}) == "Insufficient memory (more than the node has)");
  CHECK(reason(node, {.numa = 3}) == "Invalid NUMA ID for node (Valid: [0])");
  CHECK(reason(node, {.gpus = {2}}) == "Invalid GPU IDs: [2] (the node has 2)");
  CHECK(reason(node, {.gpu_count = 3}) == "Not enough GPUs (the node has 2)");
  node.used = {3, 7ull << 30, {0}};
  CHECK(reason(node, {.cores = 2}) == "Insufficient available cores (1 of 4 free)");
  CHECK(reason(node, {.cores = 0, .memory_bytes = 2ull << 30}) == "Insufficient available memory");
  CHECK(reason(node, {.gpus = {0}}) == "Requested GPUs not available (1 of 2 free)");
  CHECK(reason(node, {.gpu_count = 2}) == "Requested GPUs not available (1 of 2 free)");
  CHECK(reason(node, {.gpus = {1}}) == "");
  CHECK(reason(node, {.gpu_count = 1}) == "");
  CHECK(gpus_for(node, {.gpu_count = 1}) == std::vector{1});
  CHECK(reason({.name = "a", .cores = 4}, {}) == "Node status is offline");
  CHECK(reason({.name = "a", .online = true, .draining = true, .cores = 4}, {}) == "Node is being drained");
  CHECK(reason({.name = "a", .online = true, .cores = 4}, {.numa = 0}) == "Node has no NUMA topology");
}

TEST_CASE("a task without a container runs where it is allowed") {
  Machine node = gpu_node();
  const Demand demand{.on_host = true};
  CHECK_FALSE(fits(node, demand));
  CHECK_FALSE(unfitness(node, demand));  // a node that has not connected yet may allow it
  CHECK(refusal(node, demand)->find("not said") != std::string::npos);
  node.host_tasks = false;
  CHECK(unfitness(node, demand)->find("allow_host_tasks") != std::string::npos);
  CHECK_FALSE(fits(node, demand));
  CHECK(fits(node, {}));
  node.host_tasks = true;
  CHECK(fits(node, demand));
  CHECK_FALSE(refusal(node, demand));
}

TEST_CASE("a VPS goes where the runner knows what that is") {
  Machine node = gpu_node();
  const Demand demand{.vps = true};
  CHECK_FALSE(unfitness(node, demand));  // a node that has not connected yet may know
  node.vpses = false;
  CHECK(unfitness(node, demand)->find("too old") != std::string::npos);
  CHECK_FALSE(suits(node, demand));
  CHECK_FALSE(fits(node, demand));
  CHECK(fits(node, {}));
  node.vpses = true;
  CHECK(fits(node, demand));
}

TEST_CASE("a node that is over-booked has nothing free, but takes what takes nothing") {
  Machine node = gpu_node();
  node.used = {6, 9ull << 30, {}};  // a task came back from the lost
  CHECK(*refusal(node, {.cores = 1}) == "Insufficient available cores (0 of 4 free)");
  CHECK(fits(node, {.cores = 0}));
}

TEST_CASE("what is kept for one task is left by another") {
  const Machine node = gpu_node();
  CHECK(fits_beside(node, {.cores = 1}, {.cores = 3}));
  CHECK_FALSE(fits_beside(node, {.cores = 2}, {.cores = 3}));
  CHECK_FALSE(fits_beside(node, {.cores = 0, .memory_bytes = 5ull << 30}, {.cores = 1, .memory_bytes = 4ull << 30}));
  CHECK(fits_beside(node, {.cores = 0, .gpu_count = 1}, {.cores = 1, .gpu_count = 1}));
  CHECK_FALSE(fits_beside(node, {.cores = 0, .gpu_count = 1}, {.cores = 1, .gpu_count = 2}));
  CHECK_FALSE(fits_beside(node, {.cores = 0, .gpu_count = 1}, {.cores = 1, .gpus = {0}}));
}

TEST_CASE("the ledger holds what tasks hold, once") {
  Ledger ledger;
  TaskSpec spec;
  spec.id = TaskId(7);
  spec.cores = 3;
  spec.memory_bytes = 100;
  spec.gpus = {1};
  ledger.hold(spec, "a");
  ledger.hold(spec, "a");
  CHECK(ledger.of("a").cores == 3);
  CHECK(ledger.of("a").gpus == std::vector{1});
  CHECK(ledger.of("b").cores == 0);
  CHECK(ledger.release({spec.id, 1}));
  CHECK_FALSE(ledger.release({spec.id, 1}));
  CHECK(ledger.of("a").cores == 0);
  CHECK(ledger.of("a").memory_bytes == 0);
  ledger.hold(spec, "a");
  spec.attempt = 2;  // the one before has not ended yet
  ledger.hold(spec, "b");
  CHECK(ledger.release({spec.id, 1}));
  CHECK(ledger.of("b").cores == 3);
  CHECK(ledger.holders_on("b") == std::vector<Ledger::Key>{{spec.id, 2}});
  CHECK(ledger.of("a").gpus.empty());
}
