#include <doctest/doctest.h>

#include "host/scheduler.hpp"

using namespace riverbox;
using namespace riverbox::host;

namespace {

struct NoLink : RunnerLink {
  void dispatch(const TaskSpec&) override {}
  void kill(TaskId, int) override {}
  void control(const std::string&, TaskId, int, std::function<void(bool, std::string)>) override {}
  void sync(const SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}
};

NodeView node(const std::string& name, int cores, bool connected = true) {
  NodeView view;
  view.description.hostname = name;
  view.description.cores = cores;
  view.description.memory_bytes = 8ull << 30;
  view.description.numa = {{0, {{0, 1}, 4ull << 30}}};
  view.description.gpus.resize(2);
  view.description.gpus[1].gpu_id = 1;
  view.online = connected;
  if (connected) view.link = std::make_shared<NoLink>();
  return view;
}

}  // namespace

TEST_CASE("the node with the most free cores is chosen among those that can take the task") {
  std::vector<NodeView> nodes{node("a", 4), node("b", 16), node("c", 64, false)};
  CHECK(choose_node(nodes, {}, {.cores = 2}) == "b");
  std::map<std::string, Usage> usage{{"b", {.cores = 14}}};
  CHECK(choose_node(nodes, usage, {.cores = 2}) == "a");
  CHECK(choose_node(nodes, usage, {.cores = 8}) == std::nullopt);
  CHECK(choose_node(nodes, usage, {.cores = 0}).has_value());
}

TEST_CASE("a node refuses with the reason") {
  Usage none;
  CHECK(refusal(node("a", 4), none, {.cores = 4}) == std::nullopt);
  CHECK(*refusal(node("a", 4, false), none, {}) == "Node status is offline");
  CHECK(refusal(node("a", 4), none, {.cores = 5})->starts_with("Insufficient available cores"));
  CHECK(*refusal(node("a", 4), none, {.memory_bytes = 9ull << 30}) == "Insufficient available memory");
  CHECK(*refusal(node("a", 4), none, {.numa = 3}) == "Invalid NUMA ID for node (Valid: [0])");
  CHECK(refusal(node("a", 4), none, {.gpus = {2}})->starts_with("Invalid GPU IDs"));
  Usage gpu_taken{.gpus = {0}};
  CHECK(*refusal(node("a", 4), gpu_taken, {.gpus = {0}}) == "Requested GPUs not available");
  CHECK(refusal(node("a", 4), gpu_taken, {.gpus = {1}}) == std::nullopt);
}
