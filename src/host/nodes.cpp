#include "host/nodes.hpp"

#include <algorithm>
#include <utility>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "os/topology_json.hpp"

namespace riverbox::host {
namespace {

std::int64_t minute_of(WallTime time) { return unix_seconds(time) / LoadHistory::kStepSeconds; }

// Of those that tell it.
std::optional<double> mean_use(const std::vector<os::Gpu>& gpus) {
  double sum = 0;
  int count = 0;
  for (const auto& gpu : gpus) {
    if (gpu.gpu_utilization < 0) continue;
    sum += gpu.gpu_utilization;
    ++count;
  }
  return count ? std::optional(sum / count) : std::nullopt;
}

}  // namespace

Nodes::Nodes(store::NodeRepository& repository, std::chrono::seconds heartbeat_interval, int timeout_factor, Clock clock)
    : repository_(repository), interval_(heartbeat_interval), timeout_(heartbeat_interval * timeout_factor), clock_(std::move(clock)) {
  for (const auto& r : repository_.all()) {
    Node node;
    node.description.hostname = r.hostname;
    node.description.cores = r.total_cores;
    node.description.memory_bytes = r.total_memory_bytes;
    node.description.version = r.version;
    node.last_seen = r.last_seen;
    node.heard = clock_.steady();
    node.draining = r.draining;
    try {
      node.description.numa = os::numa_of(nlohmann::json::parse(r.numa_json));
      node.description.gpus = os::gpus_of(nlohmann::json::parse(r.gpu_json));
    } catch (const std::exception& error) {  // it tells them again when it connects
      log::warning("host", "what the database says of a node's hardware cannot be read", {{"node", r.hostname}, {"reason", error.what()}});
    }
    nodes_.emplace(r.hostname, std::move(node));
  }
}

std::int64_t Nodes::connect(const NodeDescription& description, std::shared_ptr<RunnerLink> link) {
  bool comes_online = true;
  {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(description.hostname);
    comes_online = it == nodes_.end() || !it->second.told_online;
    // A link that has been silent for two beats is a pulled plug: the machine that comes back takes its place.
    if (it != nodes_.end() && it->second.link && clock_.steady() - it->second.heard < 2 * interval_)
      throw Conflict("a runner named '" + description.hostname + "' is connected already",
                     "Give this one another name with --name.");
  }
  auto now = to_rfc3339(clock_.wall());
  store::NodeRecord record;
  record.hostname = description.hostname;
  record.total_cores = description.cores;
  record.total_memory_bytes = description.memory_bytes;
  record.version = description.version;
  record.numa_json = os::json_of<nlohmann::json>(description.numa).dump();
  record.gpu_json = os::json_of<nlohmann::json>(description.gpus).dump();
  record.last_seen = now;
  auto epoch = repository_.upsert_and_advance_epoch(record, comes_online);
  std::lock_guard lock(mutex_);
  auto& node = nodes_[description.hostname];
  node.description = description;
  node.link = std::move(link);
  node.holdings.clear();  // it tells them anew
  node.epoch = epoch;
  node.told_online = true;
  node.heard = clock_.steady();
  node.last_seen = now;
  ++changes_;
  log::info("host", "runner connected", {{"node", description.hostname}, {"from", description.address}});
  return epoch;
}

void Nodes::disconnect(const std::string& hostname, const RunnerLink* link) {
  bool was_online = false;
  {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(hostname);
    if (it == nodes_.end() || it->second.link.get() != link) return;
    it->second.link.reset();
    was_online = std::exchange(it->second.told_online, false);
    ++changes_;
  }
  log::warning("host", "runner disconnected; its tasks go on", {{"node", hostname}});
  if (was_online) tell(hostname, false, "the link to its runner is closed");
}

// An event that cannot be stored holds up nothing: the node is where it is.
void Nodes::tell(const std::string& hostname, bool online, const std::string& why) {
  try {
    repository_.record(hostname, online, why);
  } catch (const std::exception& error) {
    log::warning("host", "an event is not noted", {{"node", hostname}, {"reason", error.what()}});
  }
}

void Nodes::note_silence() {
  std::vector<std::string> silent;
  {
    std::lock_guard lock(mutex_);
    for (auto& [name, node] : nodes_)
      if (node.told_online && !view(node).online && std::exchange(node.told_online, false)) silent.push_back(name);
  }
  for (const auto& name : silent) tell(name, false, "nothing has been heard of it for " + human_duration(timeout_));
}

bool Nodes::is_current(const std::string& hostname, const RunnerLink* link) const {
  std::lock_guard lock(mutex_);
  const auto it = nodes_.find(hostname);
  return it != nodes_.end() && it->second.link.get() == link;
}

bool Nodes::heartbeat(const std::string& hostname, const RunnerLink* link, const os::Load& load, std::vector<os::Gpu> gpus, int cores_in_use) {
  std::unique_lock lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it == nodes_.end() || it->second.link.get() != link) return false;
  const bool was_silent = !view(it->second).online;
  it->second.heard = clock_.steady();
  it->second.last_seen = to_rfc3339(clock_.wall());
  it->second.load = load;
  if (!gpus.empty()) it->second.description.gpus = std::move(gpus);
  it->second.history.add(minute_of(clock_.wall()), {load.cpu_percent, load.memory_percent, mean_use(it->second.description.gpus), cores_in_use});
  if (!was_silent) return false;
  ++changes_;
  if (!std::exchange(it->second.told_online, true)) {
    lock.unlock();
    tell(hostname, true, "it is heard again");
  }
  return true;
}

LoadsOfNodes Nodes::loads(std::chrono::minutes time) const {
  std::lock_guard lock(mutex_);
  auto last = minute_of(clock_.wall());
  const auto heard_in = [&](const Node& node, std::int64_t from, std::int64_t to) {
    const auto heard = node.history.span();
    return heard && heard->first <= to && heard->last >= from;
  };
  if (std::none_of(nodes_.begin(), nodes_.end(), [&](const auto& one) { return heard_in(one.second, last, last); })) --last;  // it has just begun
  const auto longest_ago = last + 1 - time.count();
  LoadsOfNodes out{.first_minute = last, .nodes = {}};
  for (const auto& [name, node] : nodes_)
    if (heard_in(node, longest_ago, last)) out.first_minute = std::min(out.first_minute, std::max(node.history.span()->first, longest_ago));
  for (const auto& [name, node] : nodes_) {
    if (!heard_in(node, longest_ago, last)) continue;
    auto& minutes = out.nodes[name];
    minutes.reserve(static_cast<size_t>(last - out.first_minute + 1));
    for (auto minute = out.first_minute; minute <= last; ++minute) minutes.push_back(node.history.at(minute));
  }
  return out;
}

void Nodes::begin_listening() {
  std::lock_guard lock(mutex_);
  for (auto& [name, node] : nodes_) node.heard = clock_.steady();
}

void Nodes::hold(const std::string& hostname, const RunnerLink* link, std::vector<environment::Holding> holdings) {
  std::lock_guard lock(mutex_);
  auto it = nodes_.find(hostname);
  if (it != nodes_.end() && it->second.link.get() == link) it->second.holdings = std::move(holdings);
}

void Nodes::set_draining(const std::string& hostname, bool draining) {
  get(hostname);
  repository_.set_draining(hostname, draining);
  std::lock_guard lock(mutex_);
  if (auto it = nodes_.find(hostname); it != nodes_.end()) it->second.draining = draining;
  ++changes_;
  log::info("host", draining ? "node is being drained" : "node takes tasks again", {{"node", hostname}});
}

void Nodes::remove(const std::string& hostname) {
  if (get(hostname).link) throw Conflict("node '" + hostname + "' is connected", "Stop its runner first, or `riverbox node drain " + hostname + "` to give it nothing new.");
  repository_.remove(hostname);
  std::lock_guard lock(mutex_);
  nodes_.erase(hostname);
  ++changes_;
  log::info("host", "node removed", {{"node", hostname}});
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
  const auto silent_for = clock_.steady() - node.heard;
  const bool fresh = silent_for < timeout_;
  return {.description = node.description, .online = node.link && fresh, .draining = node.draining, .epoch = node.epoch, .last_seen = node.last_seen,
          .silent_for = silent_for, .load = node.load, .link = node.link, .holdings = node.holdings};
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

NodeView Nodes::get(const std::string& hostname) const {
  if (auto node = find(hostname)) return *node;
  std::string known;
  for (const auto& node : all()) known += (known.empty() ? "" : ", ") + node.description.hostname;
  throw NotFound("Node '" + printable(hostname, 100) + "' not found", known.empty() ? "No node has ever connected." : "There are: " + printable(known, 2000) + ".");
}

}  // namespace riverbox::host
