// The queue and the ledger under a random load with random faults, in simulated time. What must always hold is checked after every step: nothing lost, nothing twice, nothing
// over-booked, nobody overtaken for ever. RIVERBOX_SIMULATION_SEEDS (default 200) says how many worlds; a failing one names its seed, RIVERBOX_SIMULATION_SEED repeats it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <queue>
#include <random>
#include <set>

#include "host/ledger.hpp"
#include "host/queue.hpp"

using namespace riverbox;
using namespace riverbox::host;
using namespace std::chrono_literals;

namespace {

constexpr auto kWorldPatience = 300s;

// CHECK() for every fact of every step would take most of the time.
void must(bool holds, const char* what) {
  if (!holds) FAIL(what);
}

class QueueWorld {
public:
  explicit QueueWorld(unsigned seed) : random_(seed), queue_(kWorldPatience) {
    const int nodes = pick(1, 20);
    for (int i = 0; i < nodes; ++i) {
      Machine machine{.name = "n" + std::to_string(i), .online = true, .cores = 1 << pick(2, 6), .memory_bytes = 64};
      for (int gpu = 0; gpu < pick(-4, 4); ++gpu) machine.gpus.push_back(gpu);
      machines_.push_back(machine);
    }
    wanted_ = static_cast<unsigned>(pick(20, 150));
  }

  void live() {
    for (unsigned step = 0; !is_over(); ++step) {
      must(step < 200'000, "it does not end: somebody waits for ever");
      now_ += std::chrono::seconds(pick(0, 30));
      end_what_is_due();
      if (next_ <= wanted_ && chance(70)) submit();
      if (chance(3)) fault();
      if (chance(2)) kill();
      pass();
    }
    must(ended_.size() == wanted_, "everybody ends");
    for (const Machine& machine : machines_) must(ledger_.of(machine.name).cores == 0, "nothing is held at the end");
  }

private:
  struct Task {
    Demand demand;
    Queue::Time submitted{}, ends{};
    std::string node;
  };

  bool is_over() const { return next_ > wanted_ && tasks_.empty(); }
  int pick(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  // Something that one of the machines could take when it is empty.
  Demand some_demand() {
    const Machine& machine = machines_[static_cast<size_t>(pick(0, static_cast<int>(machines_.size()) - 1))];
    Demand demand{.cores = pick(0, chance(20) ? machine.cores : std::min(4, machine.cores)), .memory_bytes = static_cast<std::uint64_t>(pick(0, 64))};
    if (chance(20)) demand.node = machine.name;
    if (!machine.gpus.empty() && chance(40)) {
      if (chance(50)) demand.gpu_count = pick(1, static_cast<int>(machine.gpus.size()));
      else demand.gpus = {machine.gpus[static_cast<size_t>(pick(0, static_cast<int>(machine.gpus.size()) - 1))]};
    }
    return demand;
  }

  void submit() {
    const TaskId id(next_++);
    Task task{.demand = some_demand(), .submitted = now_};
    queue_.add(id, chance(10) ? pick(-5, 5) : 0, task.demand, now_);
    tasks_.emplace(id, std::move(task));
  }

  void end(TaskId id) {
    must(ended_.insert(id).second, "a task ends once");
    must(queue_.remove(id) != ledger_.release({id, 1}), "it waits or it has a place, never both");
    tasks_.erase(id);
  }

  void end_what_is_due() {
    std::vector<TaskId> due;
    for (const auto& [id, task] : tasks_)
      if (!task.node.empty() && task.ends <= now_ && is_up(task.node)) due.push_back(id);
    for (const TaskId id : due) end(id);
  }

  void kill() {
    if (tasks_.empty()) return;
    auto victim = tasks_.begin();
    std::advance(victim, pick(0, static_cast<int>(tasks_.size()) - 1));
    end(victim->first);
  }

  bool is_up(const std::string& name) const {
    return std::any_of(machines_.begin(), machines_.end(), [&](const Machine& m) { return m.name == name && m.online; });
  }

  void fault() {
    Machine& machine = machines_[static_cast<size_t>(pick(0, static_cast<int>(machines_.size()) - 1))];
    if (chance(70)) machine.online = !machine.online;
    else machine.draining = !machine.draining;
    if (next_ > wanted_) machine.online = true, machine.draining = false;  // at last everything is mended
  }

  void pass() {
    for (Machine& machine : machines_) machine.used = ledger_.of(machine.name);
    for (const auto& start : queue_.pass(machines_, now_, static_cast<size_t>(pick(1, 50)))) {
      Task& task = tasks_.at(start.id);
      must(task.node.empty(), "never started twice");
      must(is_up(start.node), "the node is there");
      if (!task.demand.node.empty()) must(task.demand.node == start.node, "the node that was asked for");
      if (!task.demand.gpus.empty()) must(task.demand.gpus == start.gpus, "the GPUs that were asked for");
      must(start.gpus.size() == std::max(task.demand.gpus.size(), static_cast<size_t>(task.demand.gpu_count)), "so many GPUs as were asked for");
      TaskSpec spec;
      spec.id = start.id;
      spec.cores = task.demand.cores;
      spec.memory_bytes = task.demand.memory_bytes;
      spec.gpus = start.gpus;
      ledger_.hold(spec, start.node);
      task.node = start.node;
      task.ends = now_ + std::chrono::seconds(pick(0, chance(5) ? 3600 : 300));
    }
    check_bookings();
  }

  void check_bookings() {
    size_t waiting = 0;
    std::map<std::string, int> cores;
    for (const auto& [id, task] : tasks_) {
      if (task.node.empty()) ++waiting;
      else cores[task.node] += task.demand.cores;
    }
    must(queue_.size() == waiting, "nobody is lost");
    for (const Machine& machine : machines_) {
      const Usage& used = ledger_.of(machine.name);
      must(used.cores == cores[machine.name], "the ledger is right");
      must(used.cores <= machine.cores, "cores are not over-booked");
      must(used.memory_bytes <= machine.memory_bytes, "memory is not over-booked");
      must(std::set(used.gpus.begin(), used.gpus.end()).size() == used.gpus.size(), "a GPU is given once");
      for (const int gpu : used.gpus) must(std::find(machine.gpus.begin(), machine.gpus.end(), gpu) != machine.gpus.end(), "a GPU that there is");
    }
  }

  std::mt19937 random_;
  Queue queue_;
  Ledger ledger_;
  std::vector<Machine> machines_;
  std::map<TaskId, Task> tasks_;
  std::set<TaskId> ended_;
  unsigned next_ = 1, wanted_ = 0;
  Queue::Time now_{};
};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

}  // namespace

// fault: dispatch-repeated, partition
TEST_CASE("simulation: nothing is lost, nothing starts twice, nothing is over-booked, nobody waits for ever") {
  const unsigned only = from_environment("RIVERBOX_SIMULATION_SEED", 0);
  const unsigned seeds = from_environment("RIVERBOX_SIMULATION_SEEDS", 200);
  for (unsigned seed = only ? only : 1; seed <= (only ? only : seeds); ++seed) {
    CAPTURE(seed);
    QueueWorld(seed).live();
  }
}

TEST_CASE("simulation: a big task is not starved by a stream of small ones") {
  Queue queue(kWorldPatience);
  std::vector<Machine> machines{{.name = "a", .online = true, .cores = 8, .memory_bytes = 64}};
  std::mt19937 random(1);
  std::multimap<Queue::Time, int> running;
  Queue::Time now{};
  unsigned next = 2;
  queue.add(TaskId(1), 0, {.cores = 8}, now);
  bool started = false;
  for (int step = 0; step < 10'000 && !started; ++step) {
    now += 1s;
    while (!running.empty() && running.begin()->first <= now) {
      machines[0].used.cores -= running.begin()->second;
      running.erase(running.begin());
    }
    queue.add(TaskId(next++), 0, {.cores = 1}, now);  // more than there is room for
    queue.add(TaskId(next++), 0, {.cores = 1}, now);
    for (const auto& start : queue.pass(machines, now, 100)) {
      if (start.id == TaskId(1)) started = true;
      else running.emplace(now + std::chrono::seconds(std::uniform_int_distribution(10, 60)(random)), 1);
    }
  }
  CHECK(started);
  CHECK(now <= Queue::Time{} + kWorldPatience + 70s);
}
