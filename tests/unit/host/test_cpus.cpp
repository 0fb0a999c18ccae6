#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "host/cpus.hpp"
#include "host/ledger.hpp"
#include "host/queue.hpp"

using namespace riverbox;
using namespace riverbox::host;
using Numbers = std::vector<int>;

namespace {

// Two sockets of two cores with two threads: the threads of core n are n and n + 4.
Cpus two_sockets() { return cpus_of({{0, 4}, {1, 5}, {2, 6}, {3, 7}}, {{0, {{0, 1, 4, 5}, 1}}, {1, {{2, 3, 6, 7}, 1}}}); }

Machine machine_with(const Cpus& cpus) {
  Machine machine{.name = "a", .online = true, .memory_bytes = 64};
  machine.cpus = std::make_shared<Cpus>(cpus);
  for (const auto& core : cpus) {
    machine.cores += static_cast<int>(core.cpus.size());
    if (core.numa) machine.numa.insert(*core.numa);
  }
  return machine;
}

}  // namespace

TEST_CASE("cpus: whole physical cores, of one NUMA node where that goes") {
  const Cpus cpus = two_sockets();
  CHECK(choose_cpus(cpus, {}, {}, 2) == Numbers{0, 4});
  CHECK(choose_cpus(cpus, {}, {}, 3) == Numbers{0, 1, 4});
  CHECK(choose_cpus(cpus, {}, {0, 4}, 2) == Numbers{1, 5});           // fills the first node
  CHECK(choose_cpus(cpus, {}, {0, 4}, 4) == Numbers{2, 3, 6, 7});     // has room for all on the second
  CHECK(choose_cpus(cpus, {}, {0, 4}, 6) == Numbers{1, 2, 3, 5, 6, 7});
  CHECK(choose_cpus(cpus, {}, {0}, 1) == Numbers{4});                 // the rest of a core that is shared already
  CHECK(choose_cpus(cpus, 1, {}, 3) == Numbers{2, 3, 6});
  CHECK(choose_cpus(cpus, 1, {2}, 4).empty());
  CHECK(choose_cpus(cpus, {}, {}, 9).empty());
  CHECK(choose_cpus(cpus, {}, {}, 0).empty());
  CHECK(choose_cpus({}, {}, {}, 1).empty());
  CHECK(free_cpus(cpus, 0, {1, 1, 6}) == Numbers{0, 4, 5});
}

TEST_CASE("cpus: a machine that does not tell its NUMA nodes") {
  const Cpus cpus = cpus_of({{0}, {1}, {2}}, {});
  CHECK(choose_cpus(cpus, {}, {1}, 2) == Numbers{0, 2});
  CHECK(choose_cpus(cpus, 0, {}, 1).empty());
}

TEST_CASE("cpus: why an exclusive task does not fit, and fits() agrees with it") {
  const auto reason = [](const Machine& machine, const Demand& demand) {
    const auto why = refusal(machine, demand);
    CHECK(fits(machine, demand) == !why);
    return why ? *why : "";
  };
  Machine machine = machine_with(two_sockets());
  CHECK(reason(machine, {.cores = 4, .numa = 1, .exclusive = true}) == "");
  CHECK(reason(machine, {.cores = 5, .numa = 1, .exclusive = true}) == "Insufficient cores (there are 4)");
  machine.used = {4, 0, {}, {2, 3, 6, 7}};
  CHECK(reason(machine, {.cores = 1, .numa = 1, .exclusive = true}) == "Insufficient CPUs beside exclusive tasks (0 of 4 free)");
  CHECK(reason(machine, {.cores = 1, .numa = 1}) == "Insufficient CPUs beside exclusive tasks (0 of 4 free)");
  CHECK(reason(machine, {.cores = 0, .numa = 1}) == "");
  CHECK(reason(machine, {.cores = 4, .exclusive = true}) == "");
  CHECK(cpus_for(machine, {.cores = 1}) == Numbers{0, 1, 4, 5});
  machine.cpus.reset();
  CHECK(reason(machine, {.cores = 1, .exclusive = true}) == "Its runner is too old to give a task CPUs of its own");
  CHECK(reason(machine, {.cores = 1}) != "");  // nobody knows which are free
}

TEST_CASE("cpus: what is kept for an exclusive task is left by another") {
  const Machine machine = machine_with(two_sockets());
  CHECK(fits_beside(machine, {.cores = 2, .numa = 1, .exclusive = true}, {.cores = 2, .numa = 1, .exclusive = true}));
  CHECK_FALSE(fits_beside(machine, {.cores = 3, .numa = 1, .exclusive = true}, {.cores = 2, .numa = 1, .exclusive = true}));
  CHECK_FALSE(fits_beside(machine, {.cores = 4, .numa = 1, .exclusive = true}, {.cores = 1, .numa = 1}));
  CHECK(fits_beside(machine, {.cores = 4, .numa = 0, .exclusive = true}, {.cores = 4, .numa = 1, .exclusive = true}));
}

TEST_CASE("cpus: whatever comes and goes, no CPU is given twice, and everybody has its turn") {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](int low, int high) { return std::uniform_int_distribution(low, high)(random); };
    std::vector<Machine> machines{machine_with(two_sockets())};
    Queue queue(std::chrono::seconds(60));
    Ledger ledger;
    std::map<TaskId, Demand> waiting;
    std::map<TaskId, TaskSpec> running;
    Queue::Time now{};
    bool fine = true;
    for (unsigned step = 1; fine && (step <= 100 || !waiting.empty()); ++step) {
      REQUIRE(step < 10'000);
      now += std::chrono::seconds(5);
      if (step <= 100) {
        Demand demand{.cores = pick(0, 4), .exclusive = pick(0, 1) == 1};
        if (demand.exclusive) demand.cores = std::max(1, demand.cores);
        if (pick(0, 2) == 0) demand.numa = pick(0, 1);
        queue.add(TaskId(step), 0, demand, now);
        waiting.emplace(TaskId(step), demand);
      }
      if (!running.empty() && pick(0, 2) > 0) {
        auto one = running.begin();
        std::advance(one, pick(0, static_cast<int>(running.size()) - 1));
        ledger.release({one->first, 1});
        running.erase(one);
      }
      machines[0].used = ledger.of("a");
      for (const auto& start : queue.pass(machines, now, 3)) {
        const Demand demand = waiting.extract(start.id).mapped();
        TaskSpec spec;
        spec.id = start.id;
        spec.cores = demand.cores;
        spec.exclusive = demand.exclusive;
        spec.cpus = start.cpus;
        const auto& held = ledger.of("a").cpus;
        for (const int cpu : start.cpus) {
          fine = fine && std::find(held.begin(), held.end(), cpu) == held.end();
          fine = fine && (!demand.numa || *demand.numa == (cpu % 4) / 2);
        }
        if (demand.exclusive) fine = fine && std::set(start.cpus.begin(), start.cpus.end()).size() == static_cast<size_t>(demand.cores);
        ledger.hold(spec, "a");
        running.emplace(start.id, spec);
      }
      const Usage& used = ledger.of("a");
      fine = fine && std::set(used.cpus.begin(), used.cpus.end()).size() == used.cpus.size() && used.cores <= machines[0].cores;
    }
    REQUIRE(fine);
    for (const auto& [id, spec] : running) ledger.release({id, 1});
    CHECK(ledger.of("a").cpus.empty());
  }
}
