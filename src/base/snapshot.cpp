#include "base/snapshot.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

using nlohmann::json;
using Action = SnapshotOrder::Action;

constexpr std::string_view kActions[] = {"list", "take", "remove", "publish"};  // in the order of Action
constexpr size_t kListed = 8;  // in an error message

// Those that tell the one who asked something; all others are the node's own trouble.
constexpr std::pair<ErrorKind, std::string_view> kErrors[] = {{ErrorKind::invalid_input, "invalid_input"}, {ErrorKind::not_found, "not_found"}, {ErrorKind::conflict, "conflict"},
                                                              {ErrorKind::unavailable, "unavailable"},     {ErrorKind::timeout, "timeout"},     {ErrorKind::no_space, "no_space"}};

std::string_view word_for(ErrorKind kind) {
  const auto found = std::find_if(std::begin(kErrors), std::end(kErrors), [&](const auto& entry) { return entry.first == kind; });
  return found == std::end(kErrors) ? "internal" : found->second;
}

ErrorKind error_kind(std::string_view word) {
  const auto found = std::find_if(std::begin(kErrors), std::end(kErrors), [&](const auto& entry) { return entry.second == word; });
  return found == std::end(kErrors) ? ErrorKind::internal : found->first;
}

Action parse_action(const std::string& word) {
  const auto found = std::find(std::begin(kActions), std::end(kActions), word);
  if (found == std::end(kActions)) throw InvalidInput("\"action\" is '" + printable(word, 40) + "', which this runner cannot do with snapshots", "Install the same riverbox version on host and runners.");
  return static_cast<Action>(found - std::begin(kActions));
}

json json_of(const VpsSnapshot& snapshot) {
  return {{"timestamp", snapshot.timestamp}, {"tag", snapshot.tag},           {"message", valid_utf8(snapshot.message)}, {"created_at", snapshot.created_at},
          {"size_bytes", snapshot.size_bytes}, {"own_bytes", snapshot.own_bytes}, {"in_use", snapshot.in_use}};
}

VpsSnapshot snapshot_of(const json& j) {
  return {.timestamp = j.at("timestamp").get<std::int64_t>(), .tag = j.value("tag", ""), .message = j.value("message", ""), .created_at = j.value("created_at", ""),
          .size_bytes = j.value("size_bytes", std::uint64_t{0}), .own_bytes = j.value("own_bytes", std::uint64_t{0}), .in_use = j.value("in_use", false)};
}

}  // namespace

void to_json(json& j, const SnapshotOrder& order) {
  j = json{{"action", kActions[static_cast<size_t>(order.action)]}, {"task_id", order.vps.str()}};
  if (!order.message.empty()) j["message"] = valid_utf8(order.message);
  if (order.timestamp) j["timestamp"] = *order.timestamp;
  if (!order.environment.empty()) j["environment"] = order.environment;
}

void from_json(const json& j, SnapshotOrder& order) {
  try {
    order = {.action = parse_action(j.at("action").get<std::string>()), .vps = TaskId::parse(j.at("task_id").get<std::string>()), .message = j.value("message", ""), .environment = j.value("environment", "")};
    if (const auto timestamp = j.find("timestamp"); timestamp != j.end()) order.timestamp = timestamp->get<std::int64_t>();
  } catch (const json::exception& error) {
    throw InvalidInput(error.what());
  }
}

void SnapshotAnswer::check() const {
  if (error) throw Error(*error, message);
}

void to_json(json& j, const SnapshotAnswer& answer) {
  j = json{{"ok", !answer.error}, {"message", valid_utf8(answer.message)}, {"file", answer.file}, {"snapshots", json::array()}};
  if (answer.error) j["error"] = word_for(*answer.error);
  for (const VpsSnapshot& snapshot : answer.snapshots) j["snapshots"].push_back(json_of(snapshot));
}

void from_json(const json& j, SnapshotAnswer& answer) {
  answer = {};
  try {
    if (!j.value("ok", false)) answer.error = error_kind(j.value("error", ""));
    answer.message = j.value("message", "");
    answer.file = j.value("file", "");
    for (const json& snapshot : j.value("snapshots", json::array())) answer.snapshots.push_back(snapshot_of(snapshot));
  } catch (const json::exception& error) {
    throw InvalidInput(error.what());
  }
}

const VpsSnapshot& choose_snapshot(const std::vector<VpsSnapshot>& snapshots, const std::string& which) {
  if (snapshots.empty()) throw NotFound("this VPS has no snapshot", "Take one: riverbox vps snapshot VPS.");
  if (which == "latest") return snapshots.front();
  for (const VpsSnapshot& snapshot : snapshots)
    if (snapshot.tag == which || std::to_string(snapshot.timestamp) == which) return snapshot;
  std::vector<std::string> names;
  for (size_t i = 0; i < snapshots.size() && i < kListed; ++i) names.push_back(std::to_string(snapshots[i].timestamp));
  names.front() += " (latest)";
  throw NotFound("this VPS has no snapshot '" + printable(which, 100) + "'", "There " + std::string(snapshots.size() == 1 ? "is " : "are ") + join(names, ", ") + (snapshots.size() > kListed ? " and older ones." : "."));
}

}  // namespace riverbox
