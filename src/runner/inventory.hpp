// What this node has and how busy it is, as the host wants to know it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "os/topology.hpp"

namespace riverbox::runner {

struct Inventory {
  std::string node;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<std::vector<int>> cpus;  // by physical core
  std::map<int, os::NumaNode> numa;  // empty: unknown
  std::vector<os::Gpu> gpus;
  bool host_tasks = false;           // it takes tasks without a container
};

// config.runner.name, else the host name. Throws InvalidInput.
std::string node_name(const Config& config);
// Cores, memory and NUMA nodes; microseconds. GPUs are asked for apart, because nvidia-smi may take seconds.
Inventory read_inventory(std::string node);

}  // namespace riverbox::runner
