// Where a task may run. Pure functions of what is known now.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/task.hpp"

namespace riverbox::host {

// What one task takes of a node.
struct Demand {
  std::string node;                // this one only; empty: any
  int cores = 1;                   // 0 = no limit, takes nothing
  std::uint64_t memory_bytes = 0;  // 0 = no limit, takes nothing
  std::optional<int> numa;
  std::vector<int> gpus;           // these
  int gpu_count = 0;               // so many, whichever are free; only without `gpus`
  std::string image;               // the fingerprint of what it runs in; a node that holds it is preferred
  auto operator<=>(const Demand&) const = default;
};

// What the tasks of a node hold together.
struct Usage {
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<int> gpus;
  static Usage of(const TaskSpec& spec) { return {spec.cores, spec.memory_bytes, spec.gpus}; }
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

  std::vector<int> free_gpus() const;
};

// Why this node can never take the demand as it is; nullopt: empty and online it could.
std::optional<std::string> unfitness(const Machine& machine, const Demand& demand);
// Why it cannot now; nullopt: it can. The words are those of HakuRiver's `failed_targets`.
std::optional<std::string> refusal(const Machine& machine, const Demand& demand);
// The same without words: refusal() has none.
bool fits(const Machine& machine, const Demand& demand);
// Whether `demand`, started there, takes nothing that `other` needs: of each thing that both want, enough for `other` is left.
bool fits_beside(const Machine& machine, const Demand& demand, const Demand& other);
// The GPUs that a demand that fits gets there.
std::vector<int> gpus_for(const Machine& machine, const Demand& demand);

}  // namespace riverbox::host
