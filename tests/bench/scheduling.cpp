// How long one walk through a long queue takes: 100,000 tasks wait, 1,000 nodes are there. Prints JSON: milliseconds of each round.
#include <array>
#include <cstdio>
#include <ctime>
#include <functional>
#include <random>

#include "base/json.hpp"
#include "base/log.hpp"
#include "host/queue.hpp"
#include "host/tasks.hpp"

using namespace riverbox;
using namespace riverbox::host;

namespace {

constexpr int kNodes = 1000, kTasks = 100'000, kRounds = 10;
constexpr std::uint64_t kGiB = 1ull << 30;
constexpr auto kPatience = std::chrono::minutes(5);

struct SilentLink : RunnerLink {
  void dispatch(const TaskSpec&) override {}
  void kill(TaskId, int) override {}
  void drop() override {}
  void control(const std::string&, TaskId, int, std::function<void(bool, std::string)>) override {}
  void sync(const SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}
};

class Cluster {
public:
  // Three kinds of machines, one of them with GPUs; each holds some of twenty environments.
  NodeDescription node(int i) const {
    NodeDescription d;
    d.hostname = "node" + std::to_string(i);
    d.cores = i % 7 == 0 ? 96 : i % 3 == 0 ? 32 : 64;
    d.memory_bytes = static_cast<std::uint64_t>(d.cores) * 4 * kGiB;
    for (int gpu = 0; i % 7 == 0 && gpu < 8; ++gpu) d.gpus.push_back({.gpu_id = gpu, .name = "A100"});
    return d;
  }
  std::string image(int i) const { return "fingerprint-of-environment-" + std::to_string(i); }
  std::vector<std::string> images() {
    std::vector<std::string> held;
    for (int i = pick(3, 8); i > 0; --i) held.push_back(image(pick(0, 19)));
    return held;
  }
  // What people ask for: few sizes, twenty environments, now and then a node by its name or GPUs.
  Submission task() {
    Submission s;
    s.spec.command = "python train.py";
    s.spec.environment = "env";
    s.spec.cores = std::array{1, 1, 1, 2, 4, 4, 8, 16, 32}[static_cast<size_t>(pick(0, 8))];
    s.spec.memory_bytes = static_cast<std::uint64_t>(std::array{0, 0, 2, 4, 8, 16, 32, 64}[static_cast<size_t>(pick(0, 7))]) * kGiB;
    if (pick(0, 99) < 15) s.spec.gpu_count = 1 << pick(0, 3);
    else if (pick(0, 99) < 5) s.targets = {{NodeName::parse("node" + std::to_string(pick(0, kNodes - 1))), std::nullopt, {}}};
    s.spec.priority = pick(0, 9) == 0 ? pick(-1, 1) : 0;
    s.image = image(pick(0, 19));
    return s;
  }
  int pick(int low, int high) { return low + static_cast<int>(random_() % static_cast<unsigned>(high - low + 1)); }

private:
  std::mt19937 random_{1};
};

// Of the processor: nothing here waits, and what else runs on the machine is not counted.
double milliseconds_of(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
  };
  const double start = now();
  work();
  return now() - start;
}

Demand demand_of(const Submission& s) {
  return {s.targets.empty() ? "" : s.targets[0].node.str(), s.spec.cores, s.spec.memory_bytes, std::nullopt, {}, s.targets.empty() ? s.spec.gpu_count : 0, s.image};
}

// The walk alone, with so many cores free on each node.
std::vector<double> walk(int free_cores, bool patient, size_t& starts) {
  Cluster cluster;
  std::vector<Machine> machines;
  for (int i = 0; i < kNodes; ++i) {
    const auto d = cluster.node(i);
    Machine machine{.name = d.hostname, .online = true, .cores = d.cores, .memory_bytes = d.memory_bytes, .used = {d.cores - free_cores, d.memory_bytes / 2, {}}};
    for (const auto& gpu : d.gpus) machine.gpus.push_back(gpu.gpu_id);
    for (auto& image : cluster.images()) machine.images.insert(std::move(image));
    machines.push_back(std::move(machine));
  }
  const Queue::Time since{}, now = since + (patient ? kPatience / 2 : kPatience * 2);
  Queue queue(kPatience);
  for (int i = 1; i <= kTasks; ++i) {
    const auto task = cluster.task();
    queue.add(TaskId(static_cast<std::uint64_t>(i)), task.spec.priority, demand_of(task), since);
  }
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    auto same = queue;
    auto still = machines;
    rounds.push_back(milliseconds_of([&] { starts = same.pass(still, now, 256).size(); }));
  }
  return rounds;
}

struct World {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository node_repository{database};
  store::TaskRepository task_repository{database};
  Nodes nodes{node_repository, std::chrono::seconds(5), 1000};
  Tasks tasks{task_repository, nodes, [](TaskId id, int, bool is_stderr) { return id.str() + (is_stderr ? ".err" : ".out"); }};
};

}  // namespace

int main() {
  log::set_level(log::Level::error);
  size_t starts = 0;
  nlohmann::json out;
  out["walk, nothing starts"] = walk(0, true, starts);
  out["walk, nothing starts, all are out of patience"] = walk(0, false, starts);
  out["walk, 256 start"] = walk(4, true, starts);
  if (starts != 256) return std::fprintf(stderr, "%zu instead of 256 start\n", starts), 1;

  // The host's own work around it: what it knows of the nodes, and what is written when an end gives another task its place.
  World world;
  Cluster cluster;
  for (int i = 0; i < kNodes; ++i) {
    const auto d = cluster.node(i);
    const auto link = std::make_shared<SilentLink>();
    world.nodes.connect(d, link);
    std::vector<environment::Holding> holdings;
    for (auto& image : cluster.images()) holdings.push_back({"env", std::move(image)});
    world.nodes.hold(d.hostname, link.get(), std::move(holdings));
  }
  for (size_t waiting = 0; waiting < kTasks;) {
    std::vector<Submission> batch;
    while (batch.size() < 5000) batch.push_back(cluster.task());
    for (const auto& task : world.tasks.submit(batch).tasks) waiting += task.state == TaskState::pending;
  }
  std::vector<double> whole, ends;
  for (int round = 0; round < kRounds; ++round) whole.push_back(milliseconds_of([&] { world.tasks.schedule(); }));
  for (const auto& task : world.task_repository.list(TaskState::assigning, 5 * kRounds, 0)) {
    TaskReport report;
    report.id = task.spec.id;
    report.epoch = task.spec.epoch;
    report.state = TaskState::completed;
    ends.push_back(milliseconds_of([&] { world.tasks.apply(report); }));
  }
  out["whole pass of the host, nothing starts"] = whole;
  out["end of a task, with the pass it causes"] = ends;
  std::printf("%s\n", out.dump().c_str());
  return 0;
}
