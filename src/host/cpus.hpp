// Which CPUs of a node an exclusive task gets. Pure.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "os/topology.hpp"

namespace riverbox::host {

struct PhysicalCore {
  std::optional<int> numa;
  std::vector<int> cpus;  // its threads, by the kernel's numbers
};
using Cpus = std::vector<PhysicalCore>;

Cpus cpus_of(const std::vector<std::vector<int>>& cores, const std::map<int, os::NumaNode>& numa);

// Those of the NUMA node, else of all, that are not among `taken`; in ascending order.
std::vector<int> free_cpus(const Cpus& cpus, std::optional<int> numa, const std::vector<int>& taken);

// So many of them, in ascending order; empty: there are not enough. Of one NUMA node if one has enough, the one that it fills best; whole physical cores, and for the
// rest a core of which a part is taken already.
std::vector<int> choose_cpus(const Cpus& cpus, std::optional<int> numa, const std::vector<int>& taken, size_t count);

}  // namespace riverbox::host
