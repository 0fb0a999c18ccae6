#include "runner/inventory.hpp"

#include "base/ids.hpp"
#include "os/process.hpp"

namespace riverbox::runner {

std::string node_name(const Config& config) {
  return NodeName::parse(config.runner.name.empty() ? os::host_name() : config.runner.name).str();
}

Inventory read_inventory(std::string node) {
  Inventory inventory;
  inventory.node = std::move(node);
  inventory.cores = os::cpu_count();
  inventory.cpus = os::cpus_by_core();
  inventory.memory_bytes = os::total_memory_bytes();
  inventory.numa = os::numa_nodes();
  return inventory;
}

}  // namespace riverbox::runner
