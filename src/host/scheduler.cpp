#include "host/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace riverbox::host {
namespace {

bool contains(const std::vector<int>& list, int value) { return std::find(list.begin(), list.end(), value) != list.end(); }

bool has_numa(const Machine& machine, const Demand& demand) { return !demand.numa || machine.numa.contains(*demand.numa); }

size_t wanted_gpus(const Demand& demand) { return demand.gpus.empty() ? static_cast<size_t>(demand.gpu_count) : demand.gpus.size(); }

bool gpus_fit(const Machine& machine, const Demand& demand) {
  if (demand.gpus.empty()) return demand.gpu_count == 0 || machine.free_gpus().size() >= static_cast<size_t>(demand.gpu_count);
  return std::all_of(demand.gpus.begin(), demand.gpus.end(), [&](int gpu) { return contains(machine.gpus, gpu) && !contains(machine.used.gpus, gpu); });
}

}  // namespace

void Usage::add(const Usage& more) {
  cores += more.cores;
  memory_bytes += more.memory_bytes;
  gpus.insert(gpus.end(), more.gpus.begin(), more.gpus.end());
}

void Usage::remove(const Usage& part) {
  cores -= part.cores;
  memory_bytes -= part.memory_bytes;
  for (const int gpu : part.gpus)
    if (const auto held = std::find(gpus.begin(), gpus.end(), gpu); held != gpus.end()) gpus.erase(held);
}

std::vector<int> Machine::free_gpus() const {
  std::vector<int> free;
  std::copy_if(gpus.begin(), gpus.end(), std::back_inserter(free), [&](int gpu) { return !contains(used.gpus, gpu); });
  return free;
}

std::optional<std::string> unfitness(const Machine& machine, const Demand& demand) {
  if (!demand.node.empty() && demand.node != machine.name) return "Another node is named";
  if (demand.numa && machine.numa.empty()) return "Node has no NUMA topology";
  if (!has_numa(machine, demand)) return fmt::format("Invalid NUMA ID for node (Valid: [{}])", fmt::join(machine.numa, ", "));
  for (const int gpu : demand.gpus)
    if (!contains(machine.gpus, gpu)) return fmt::format("Invalid GPU IDs: [{}] (the node has {})", gpu, machine.gpus.size());
  if (wanted_gpus(demand) > machine.gpus.size()) return fmt::format("Not enough GPUs (the node has {})", machine.gpus.size());
  if (demand.cores > machine.cores) return fmt::format("Insufficient cores (the node has {})", machine.cores);
  if (demand.memory_bytes > machine.memory_bytes) return "Insufficient memory (more than the node has)";
  return std::nullopt;
}

bool fits(const Machine& machine, const Demand& demand) {
  return machine.online && !machine.draining && (demand.node.empty() || demand.node == machine.name) &&
         (demand.cores == 0 || demand.cores + machine.used.cores <= machine.cores) &&
         (demand.memory_bytes == 0 || demand.memory_bytes + machine.used.memory_bytes <= machine.memory_bytes) && has_numa(machine, demand) &&
         gpus_fit(machine, demand);
}

std::optional<std::string> refusal(const Machine& machine, const Demand& demand) {
  if (!machine.online) return "Node status is offline";
  if (machine.draining) return "Node is being drained";
  if (auto never = unfitness(machine, demand)) return never;
  if (fits(machine, demand)) return std::nullopt;
  if (!gpus_fit(machine, demand)) return fmt::format("Requested GPUs not available ({} of {} free)", machine.free_gpus().size(), machine.gpus.size());
  if (demand.cores > 0 && demand.cores + machine.used.cores > machine.cores)
    return fmt::format("Insufficient available cores ({} of {} free)", std::max(0, machine.cores - machine.used.cores), machine.cores);
  return "Insufficient available memory";
}

bool fits_beside(const Machine& machine, const Demand& demand, const Demand& other) {
  if (demand.cores > 0 && other.cores > 0 && machine.used.cores + demand.cores + other.cores > machine.cores) return false;
  if (demand.memory_bytes > 0 && other.memory_bytes > 0 && machine.used.memory_bytes + demand.memory_bytes + other.memory_bytes > machine.memory_bytes) return false;
  const std::vector<int> taken = gpus_for(machine, demand);
  if (taken.empty() || wanted_gpus(other) == 0) return true;
  if (!other.gpus.empty()) return std::none_of(other.gpus.begin(), other.gpus.end(), [&](int gpu) { return contains(taken, gpu); });
  return machine.free_gpus().size() >= taken.size() + wanted_gpus(other);
}

std::vector<int> gpus_for(const Machine& machine, const Demand& demand) {
  if (!demand.gpus.empty() || demand.gpu_count == 0) return demand.gpus;
  auto free = machine.free_gpus();
  free.resize(std::min(free.size(), static_cast<size_t>(demand.gpu_count)));
  return free;
}

}  // namespace riverbox::host
