// Where a task may run. Pure functions of what is known now.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "host/cpus.hpp"

namespace riverbox::host {

// What one task takes of a node.
struct Demand {
  std::string node;                // this one only; empty: any
  int cores = 1;                   // 0 = no limit, takes nothing
  std::uint64_t memory_bytes = 0;  // 0 = no limit, takes nothing
  std::optional<int> numa;
  std::vector<int> gpus;           // these
  int gpu_count = 0;               // so many, whichever are free; only without `gpus`
  std::string image = {};          // the fingerprint of what it runs in; a node that holds it is preferred
  bool exclusive = false;          // `cores` CPUs that no other exclusive task has
  bool on_host = false;            // without a container
  bool vps = false;
  std::string rather_not = {};     // a node on which it has failed before: only if no other can take it now
  auto operator<=>(const Demand&) const = default;
  size_t gpus_wanted() const { return gpus.empty() ? static_cast<size_t>(gpu_count) : gpus.size(); }
};

// What the tasks of a node hold together.
struct Usage {
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<int> gpus;
  std::vector<int> cpus = {};  // of exclusive tasks
  static Usage of(const TaskSpec& spec) { return {spec.cores, spec.memory_bytes, spec.gpus, spec.exclusive ? spec.cpus : std::vector<int>{}}; }
  void add(const Usage& more);
  void remove(const Usage& part);
};

// A node as the scheduler sees it.
struct Machine {
  std::string name;
  bool online = false, draining = false;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<int> gpus;  // that it has
  std::set<int> numa;     // empty: it has no NUMA topology
  std::set<std::string> images;  // fingerprints of what its Docker holds
  Usage used;
  std::shared_ptr<const Cpus> cpus;  // shared by all copies; null: its runner has not told them
  std::optional<bool> host_tasks = {};  // it takes tasks without a container; nullopt: not known yet
  std::optional<bool> vpses = {};       // its runner knows what a VPS is; likewise

  std::vector<int> free_gpus() const;
  size_t free_gpu_count() const;
};

// Why this node can never take the demand as it is; nullopt: empty and online it could.
std::optional<std::string> unfitness(const Machine& machine, const Demand& demand);
// The same without words: unfitness() has none.
bool suits(const Machine& machine, const Demand& demand);
// Why it cannot now; nullopt: it can. The words are those of HakuRiver's `failed_targets`.
std::optional<std::string> refusal(const Machine& machine, const Demand& demand);
// The same without words: refusal() has none.
bool fits(const Machine& machine, const Demand& demand);
// Whether `demand`, started there, takes nothing that `other` needs: of each thing that both want, enough for `other` is left.
bool fits_beside(const Machine& machine, const Demand& demand, const Demand& other);
// The GPUs that a demand that fits gets there.
std::vector<int> gpus_for(const Machine& machine, const Demand& demand);
// The CPUs that it gets there: its own if it is exclusive, else those that no exclusive task has. Empty: it may use all.
std::vector<int> cpus_for(const Machine& machine, const Demand& demand);

}  // namespace riverbox::host
