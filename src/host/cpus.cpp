#include "host/cpus.hpp"

#include <algorithm>
#include <set>

namespace riverbox::host {
namespace {

// What is free of each physical core; cores without anything free are left out.
struct FreeCore {
  std::vector<int> cpus;
  bool whole = true;
};

std::vector<FreeCore> free_cores(const Cpus& cpus, std::optional<int> numa, const std::vector<int>& taken) {
  const std::set<int> gone(taken.begin(), taken.end());
  std::vector<FreeCore> out;
  for (const PhysicalCore& core : cpus) {
    if (numa && core.numa != numa) continue;
    FreeCore free;
    std::copy_if(core.cpus.begin(), core.cpus.end(), std::back_inserter(free.cpus), [&](int cpu) { return !gone.contains(cpu); });
    free.whole = free.cpus.size() == core.cpus.size();
    if (!free.cpus.empty()) out.push_back(std::move(free));
  }
  return out;
}

size_t count_of(const std::vector<FreeCore>& cores) {
  size_t count = 0;
  for (const FreeCore& core : cores) count += core.cpus.size();
  return count;
}

// The NUMA node with the least that is enough.
std::optional<int> best_numa(const Cpus& cpus, const std::vector<int>& taken, size_t count) {
  std::set<int> nodes;
  for (const PhysicalCore& core : cpus)
    if (core.numa) nodes.insert(*core.numa);
  std::optional<int> best;
  size_t least = 0;
  for (const int node : nodes) {
    const size_t free = count_of(free_cores(cpus, node, taken));
    if (free < count || (best && free >= least)) continue;
    best = node;
    least = free;
  }
  return best;
}

}  // namespace

Cpus cpus_of(const std::vector<std::vector<int>>& cores, const std::map<int, os::NumaNode>& numa) {
  Cpus out;
  for (const auto& threads : cores) {
    PhysicalCore core{{}, threads};
    for (const auto& [number, node] : numa)
      if (!threads.empty() && std::find(node.cores.begin(), node.cores.end(), threads.front()) != node.cores.end()) core.numa = number;
    out.push_back(std::move(core));
  }
  return out;
}

std::vector<int> free_cpus(const Cpus& cpus, std::optional<int> numa, const std::vector<int>& taken) {
  std::vector<int> out;
  for (const FreeCore& core : free_cores(cpus, numa, taken)) out.insert(out.end(), core.cpus.begin(), core.cpus.end());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<int> choose_cpus(const Cpus& cpus, std::optional<int> numa, const std::vector<int>& taken, size_t count) {
  auto cores = free_cores(cpus, numa ? numa : best_numa(cpus, taken, count), taken);
  if (count == 0 || count_of(cores) < count) return {};
  std::vector<int> out;
  const auto take = [&](FreeCore& core) {
    const size_t number = std::min(core.cpus.size(), count - out.size());
    out.insert(out.end(), core.cpus.begin(), core.cpus.begin() + static_cast<std::ptrdiff_t>(number));
    core.cpus.clear();
  };
  for (FreeCore& core : cores)
    if (core.whole && core.cpus.size() <= count - out.size()) take(core);
  std::stable_sort(cores.begin(), cores.end(), [](const FreeCore& a, const FreeCore& b) { return a.whole < b.whole; });
  for (FreeCore& core : cores) take(core);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace riverbox::host
