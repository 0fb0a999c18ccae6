#include "host/scheduler.hpp"

#include <algorithm>

namespace riverbox::host {

void Usage::add(const TaskSpec& spec) {
  cores += spec.cores;
  memory_bytes += spec.memory_bytes;
  gpus.insert(gpus.end(), spec.gpus.begin(), spec.gpus.end());
}

std::optional<std::string> refusal(const NodeView& node, const Usage& usage, const Demand& demand) {
  const auto& d = node.description;
  if (!node.link) return "Node status is offline";
  if (demand.numa) {
    if (d.numa.empty()) return "Node has no NUMA topology";
    if (!d.numa.contains(*demand.numa)) {
      std::string valid;
      for (const auto& [id, numa] : d.numa) valid += (valid.empty() ? "" : ", ") + std::to_string(id);
      return "Invalid NUMA ID for node (Valid: [" + valid + "])";
    }
  }
  for (int gpu : demand.gpus) {
    bool known = std::any_of(d.gpus.begin(), d.gpus.end(), [&](auto& g) { return g.gpu_id == gpu; });
    if (!known) return "Invalid GPU IDs: [" + std::to_string(gpu) + "] (the node has " + std::to_string(d.gpus.size()) + ")";
    if (std::find(usage.gpus.begin(), usage.gpus.end(), gpu) != usage.gpus.end()) return "Requested GPUs not available";
  }
  if (demand.cores > d.cores - usage.cores && demand.cores > 0)
    return "Insufficient available cores (" + std::to_string(std::max(0, d.cores - usage.cores)) + " of " + std::to_string(d.cores) + " free)";
  if (demand.memory_bytes > 0 && demand.memory_bytes + usage.memory_bytes > d.memory_bytes) return "Insufficient available memory";
  return std::nullopt;
}

std::optional<std::string> choose_node(const std::vector<NodeView>& nodes, const std::map<std::string, Usage>& usage, const Demand& demand) {
  const NodeView* best = nullptr;
  int best_free = 0;
  for (const auto& node : nodes) {
    auto used = usage.find(node.description.hostname);
    Usage none;
    const Usage& u = used == usage.end() ? none : used->second;
    if (refusal(node, u, demand)) continue;
    int free = node.description.cores - u.cores;
    if (!best || free > best_free) {
      best = &node;
      best_free = free;
    }
  }
  if (!best) return std::nullopt;
  return best->description.hostname;
}

}  // namespace riverbox::host
