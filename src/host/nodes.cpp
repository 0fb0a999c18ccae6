#include "host/nodes.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/time.hpp"

namespace riverbox::host {

Nodes::Nodes(store::NodeRepository& repository, std::chrono::seconds heartbeat_interval, int timeout_factor)
    : repository_(repository), interval_(heartbeat_interval), timeout_(heartbeat_interval * timeout_factor) {
  for (const auto& r : repository_.all()) {
    Node node;
    node.description.hostname = r.hostname;
    node.description.cores = r.total_cores;
    node.description.memory_bytes = r.total_memory_bytes;
    node.description.version = r.version;
    node.last_seen = r.last_seen;
    nodes_.emplace(r.hostname, std::move(node));
  }
}

std::int64_t Nodes::connect(const NodeDescription& description, std::shared_ptr<RunnerLink> link) {
  {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(description.hostname);
    // A link that has been silent for two beats is a pulled plug: the machine that comes back takes its place.
    if (it != nodes_.end() && it->second.link && std::chrono::steady_clock::now() - it->second.heard < 2 * interval_)
      throw Conflict("a runner named '" + description.hostname + "' is connected already",
                     "Give this one another name with --name.");
  }
  auto now = to_rfc3339(wall_now());
  store::NodeRecord record;
  record.hostname = description.hostname;
  record.total_cores = description.cores;
  record.total_memory_bytes = description.memory_bytes;
  record.version = description.version;
  record.last_seen = now;
  auto epoch = repository_.upsert_and_advance_epoch(record);
  std::lock_guard lock(mutex_);
  auto& node = nodes_[description.hostname];
  node.description = description;
  node.link = std::move(link);
  node.holdings.clear();  // it tells them anew
  node.epoch = epoch;
  node.heard = std::chrono::steady_clock::now();
  node.last_seen = now;
  log::info("host", "runner connected", {{"node", description.hostname}, {"from", description.address}});
  return epoch;
}

void Nodes::disconnect(const std::string& hostname, const RunnerLink* link) {
  std::lock_guard lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it == nodes_.end() || it->second.link.get() != link) return;
  it->second.link.reset();
  log::warning("host", "runner disconnected; its tasks go on", {{"node", hostname}});
}

void Nodes::heartbeat(const std::string& hostname, const RunnerLink* link, const os::Load& load, std::vector<os::Gpu> gpus) {
  std::lock_guard lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it == nodes_.end() || it->second.link.get() != link) return;
  it->second.heard = std::chrono::steady_clock::now();
  it->second.last_seen = to_rfc3339(wall_now());
  it->second.load = load;
  if (!gpus.empty()) it->second.description.gpus = std::move(gpus);
}

void Nodes::hold(const std::string& hostname, const RunnerLink* link, std::vector<environment::Holding> holdings) {
  std::lock_guard lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it != nodes_.end() && it->second.link.get() == link) it->second.holdings = std::move(holdings);
}

std::vector<std::string> Nodes::holders(const environment::Holding& version) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, node] : nodes_) {
    const auto& held = node.holdings;
    if (node.link && std::find(held.begin(), held.end(), version) != held.end()) names.push_back(name);
  }
  return names;
}

NodeView Nodes::view(const Node& node) const {
  bool fresh = std::chrono::steady_clock::now() - node.heard < timeout_;
  return {node.description, node.link && fresh, node.epoch, node.last_seen, node.load, node.link, node.holdings};
}

std::vector<NodeView> Nodes::all() const {
  std::lock_guard lock(mutex_);
  std::vector<NodeView> out;
  for (const auto& [name, node] : nodes_) out.push_back(view(node));
  return out;
}

std::optional<NodeView> Nodes::find(const std::string& hostname) const {
  std::lock_guard lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it == nodes_.end()) return std::nullopt;
  return view(it->second);
}

}  // namespace riverbox::host
