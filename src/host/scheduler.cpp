#include "host/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace riverbox::host {
namespace {

bool contains(const std::vector<int>& list, int value) { return std::find(list.begin(), list.end(), value) != list.end(); }

bool has_numa(const Machine& machine, const Demand& demand) { return !demand.numa || machine.numa.contains(*demand.numa); }

bool gpus_fit(const Machine& machine, const Demand& demand) {
  if (demand.gpus.empty()) return demand.gpu_count == 0 || machine.free_gpu_count() >= static_cast<size_t>(demand.gpu_count);
  return std::all_of(demand.gpus.begin(), demand.gpus.end(), [&](int gpu) { return contains(machine.gpus, gpu) && !contains(machine.used.gpus, gpu); });
}

// What exclusive tasks leave of the CPUs that the demand can use.
size_t free_cpu_count(const Machine& machine, const Demand& demand) {
  return machine.cpus ? free_cpus(*machine.cpus, demand.numa, machine.used.cpus).size() : 0;
}

bool cpus_fit(const Machine& machine, const Demand& demand) {
  if (demand.exclusive) return free_cpu_count(machine, demand) >= static_cast<size_t>(demand.cores);
  return demand.cores == 0 || machine.used.cpus.empty() || free_cpu_count(machine, demand) > 0;
}

// Whether an exclusive demand leaves the other one the CPUs that it needs.
bool leaves_cpus(const Machine& machine, const Demand& demand, const Demand& other) {
  if (!demand.exclusive || other.cores == 0 || !machine.cpus) return true;
  auto taken = cpus_for(machine, demand);
  taken.insert(taken.end(), machine.used.cpus.begin(), machine.used.cpus.end());
  return free_cpus(*machine.cpus, other.numa, taken).size() >= (other.exclusive ? static_cast<size_t>(other.cores) : 1);
}

void remove_each(std::vector<int>& from, const std::vector<int>& what) {
  for (const int one : what)
    if (const auto held = std::find(from.begin(), from.end(), one); held != from.end()) from.erase(held);
}

}  // namespace

void Usage::add(const Usage& more) {
  cores += more.cores;
  memory_bytes += more.memory_bytes;
  gpus.insert(gpus.end(), more.gpus.begin(), more.gpus.end());
  cpus.insert(cpus.end(), more.cpus.begin(), more.cpus.end());
}

void Usage::remove(const Usage& part) {
  cores -= part.cores;
  memory_bytes -= part.memory_bytes;
  remove_each(gpus, part.gpus);
  remove_each(cpus, part.cpus);
}

std::vector<int> Machine::free_gpus() const {
  std::vector<int> free;
  std::copy_if(gpus.begin(), gpus.end(), std::back_inserter(free), [&](int gpu) { return !contains(used.gpus, gpu); });
  return free;
}

size_t Machine::free_gpu_count() const {
  return static_cast<size_t>(std::count_if(gpus.begin(), gpus.end(), [&](int gpu) { return !contains(used.gpus, gpu); }));
}

bool suits(const Machine& machine, const Demand& demand) {
  return (demand.node.empty() || demand.node == machine.name) && has_numa(machine, demand) && demand.cores <= machine.cores && demand.memory_bytes <= machine.memory_bytes &&
         demand.gpus_wanted() <= machine.gpus.size() && std::all_of(demand.gpus.begin(), demand.gpus.end(), [&](int gpu) { return contains(machine.gpus, gpu); }) &&
         (!demand.on_host || machine.host_tasks != false) && (!demand.vps || machine.vpses != false) &&
         (!demand.exclusive || !machine.cpus || free_cpus(*machine.cpus, demand.numa, {}).size() >= static_cast<size_t>(demand.cores));
}

std::optional<std::string> unfitness(const Machine& machine, const Demand& demand) {
  if (!demand.node.empty() && demand.node != machine.name) return "Another node is named";
  if (demand.on_host && machine.host_tasks == false) return "Node runs no tasks without a container ([runner] allow_host_tasks)";
  if (demand.vps && machine.vpses == false) return "Its runner is too old for VPSs";
  if (demand.numa && machine.numa.empty()) return "Node has no NUMA topology";
  if (!has_numa(machine, demand)) return fmt::format("Invalid NUMA ID for node (Valid: [{}])", fmt::join(machine.numa, ", "));
  for (const int gpu : demand.gpus)
    if (!contains(machine.gpus, gpu)) return fmt::format("Invalid GPU IDs: [{}] (the node has {})", gpu, machine.gpus.size());
  if (demand.gpus_wanted() > machine.gpus.size()) return fmt::format("Not enough GPUs (the node has {})", machine.gpus.size());
  if (demand.cores > machine.cores) return fmt::format("Insufficient cores (the node has {})", machine.cores);
  if (demand.memory_bytes > machine.memory_bytes) return "Insufficient memory (more than the node has)";
  if (demand.exclusive && machine.cpus) {
    const size_t most = free_cpus(*machine.cpus, demand.numa, {}).size();
    if (static_cast<size_t>(demand.cores) > most) return fmt::format("Insufficient cores (there are {})", most);  // on that NUMA node
  }
  return std::nullopt;
}

bool fits(const Machine& machine, const Demand& demand) {
  return machine.online && !machine.draining && (!demand.on_host || machine.host_tasks == true) && (!demand.vps || machine.vpses != false) && (demand.node.empty() || demand.node == machine.name) &&
         (demand.cores == 0 || demand.cores + machine.used.cores <= machine.cores) &&
         (demand.memory_bytes == 0 || demand.memory_bytes + machine.used.memory_bytes <= machine.memory_bytes) && has_numa(machine, demand) &&
         gpus_fit(machine, demand) && cpus_fit(machine, demand);
}

std::optional<std::string> refusal(const Machine& machine, const Demand& demand) {
  if (!machine.online) return "Node status is offline";
  if (machine.draining) return "Node is being drained";
  if (auto never = unfitness(machine, demand)) return never;
  if (fits(machine, demand)) return std::nullopt;
  if (demand.on_host && !machine.host_tasks) return "Node has not said yet whether it runs tasks without a container";
  if (!gpus_fit(machine, demand)) return fmt::format("Requested GPUs not available ({} of {} free)", machine.free_gpu_count(), machine.gpus.size());
  if (demand.cores > 0 && demand.cores + machine.used.cores > machine.cores)
    return fmt::format("Insufficient available cores ({} of {} free)", std::max(0, machine.cores - machine.used.cores), machine.cores);
  if (demand.memory_bytes > 0 && demand.memory_bytes + machine.used.memory_bytes > machine.memory_bytes) return "Insufficient available memory";
  if (!machine.cpus) return "Its runner is too old to give a task CPUs of its own";
  return fmt::format("Insufficient CPUs beside exclusive tasks ({} of {} free)", free_cpu_count(machine, demand), free_cpus(*machine.cpus, demand.numa, {}).size());
}

bool fits_beside(const Machine& machine, const Demand& demand, const Demand& other) {
  if (demand.cores > 0 && other.cores > 0 && machine.used.cores + demand.cores + other.cores > machine.cores) return false;
  if (demand.memory_bytes > 0 && other.memory_bytes > 0 && machine.used.memory_bytes + demand.memory_bytes + other.memory_bytes > machine.memory_bytes) return false;
  if (!leaves_cpus(machine, demand, other)) return false;
  const std::vector<int> taken = gpus_for(machine, demand);
  if (taken.empty() || other.gpus_wanted() == 0) return true;
  if (!other.gpus.empty()) return std::none_of(other.gpus.begin(), other.gpus.end(), [&](int gpu) { return contains(taken, gpu); });
  return machine.free_gpu_count() >= taken.size() + other.gpus_wanted();
}

std::vector<int> gpus_for(const Machine& machine, const Demand& demand) {
  if (!demand.gpus.empty() || demand.gpu_count == 0) return demand.gpus;
  auto free = machine.free_gpus();
  free.resize(std::min(free.size(), static_cast<size_t>(demand.gpu_count)));
  return free;
}

std::vector<int> cpus_for(const Machine& machine, const Demand& demand) {
  if (!machine.cpus) return {};
  if (demand.exclusive) return choose_cpus(*machine.cpus, demand.numa, machine.used.cpus, static_cast<size_t>(demand.cores));
  return machine.used.cpus.empty() ? std::vector<int>{} : free_cpus(*machine.cpus, demand.numa, machine.used.cpus);
}

}  // namespace riverbox::host
