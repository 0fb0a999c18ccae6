// Where a task may run. Pure functions of what is known now.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "host/nodes.hpp"

namespace riverbox::host {

struct Demand {
  int cores = 1;  // 0 = no limit, takes nothing
  std::uint64_t memory_bytes = 0;
  std::optional<int> numa;
  std::vector<int> gpus;
};

// What unfinished tasks hold on a node.
struct Usage {
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<int> gpus;
  void add(const TaskSpec& spec);
};

// Why the demand cannot be met on this node now; nullopt: it can. The words are those of HakuRiver's `failed_targets`.
std::optional<std::string> refusal(const NodeView& node, const Usage& usage, const Demand& demand);

// The node with the most free cores among those that can take it; nullopt: none.
std::optional<std::string> choose_node(const std::vector<NodeView>& nodes, const std::map<std::string, Usage>& usage, const Demand& demand);

}  // namespace riverbox::host
