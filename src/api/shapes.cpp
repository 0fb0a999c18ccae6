#include "api/shapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "base/time.hpp"
#include "os/topology_json.hpp"

namespace riverbox::api {
namespace {

constexpr const char* kHidden = "(hidden)";

// HakuRiver's clients expect naive local time; absent is null.
Json local_time(const std::string& rfc3339) {
  if (rfc3339.empty()) return nullptr;
  return to_local_iso(parse_rfc3339(rfc3339));
}

// "12.5," or "12," or "null,"
void append_tenths(std::string& out, host::LoadHistory::Tenths value) {
  if (value == host::LoadHistory::kNothing) {
    out += "null,";
    return;
  }
  const fmt::format_int whole(value / 10);
  out.append(whole.data(), whole.size());
  if (value % 10) (out += '.') += static_cast<char>('0' + value % 10);
  out += ',';
}

}  // namespace

Json container_shape(const host::ListedContainer& c, Dialect dialect) {
  if (dialect == Dialect::classic)
    return {{"id", c.id}, {"name", c.name}, {"image", c.image}, {"status", c.status_text}, {"managed", c.managed}};
  Json env_name = c.managed ? Json(c.name) : Json(nullptr);
  return {{"id", c.id}, {"name", c.container_name}, {"env_name", env_name}, {"image", c.image}, {"status", c.state},
          {"created", to_rfc3339(WallTime(std::chrono::seconds(c.created)))}, {"managed", c.managed}};
}

// Indented as people read it: a client need not take it apart. Names, file names and digests have been parsed: nothing in them needs an escape.
std::string archives_text(const environment::Listing& listing) {
  constexpr std::string_view kEnvironment = R"({}
  "{}": {{
    "latest_timestamp": {},
    "latest_tarball": "{}",
    "all_versions": [)";
  constexpr std::string_view kVersion = R"({}
      {{
        "timestamp": {},
        "tarball": "{}",
        "size_bytes": {},
        "image_id": {}{}{}
      }})";
  std::string out = "{";
  for (const auto& [name, versions] : listing) {
    if (versions.empty()) continue;
    fmt::format_to(std::back_inserter(out), kEnvironment, out.size() > 1 ? "," : "", name.str(), versions.front().timestamp, versions.front().tarball);
    for (const auto& v : versions) {
      const std::string_view quote = v.image_id.empty() ? "" : "\"";
      fmt::format_to(std::back_inserter(out), kVersion, out.back() == '[' ? "" : ",", v.timestamp, v.tarball, v.size_bytes,
                     quote, v.image_id.empty() ? "null" : v.image_id, quote);
    }
    out += "\n    ]\n  }";
  }
  return out + (out.size() > 1 ? "\n}" : "}");
}

Json packaging_shape(const environment::Packaging& p) {
  return {{"way", p.way}, {"why", or_null(p.why)}, {"layers", p.layers}, {"layers_taken_over", p.layers_taken_over},
          {"bytes_taken_over", p.bytes_taken_over}};
}

Json task_shape(const store::TaskRecord& t, const Identity& reader, const std::filesystem::path& shared_dir) {
  const auto& s = t.spec;
  Json mounts = Json::array();
  for (const auto& m : s.mounts) mounts.push_back(m.str());
  Json out;
  out["task_id"] = s.id.str();
  out["task_type"] = s.vps ? "vps" : "command";
  out["owner"] = or_null(t.owner);
  out["batch_id"] = or_null(t.batch_id);
  out["name"] = or_null(s.name);
  out["command"] = s.command;
  out["arguments"] = s.arguments;
  out["env_vars"] = s.env;
  if (!reader.knows_secrets_of(t.owner))
    for (auto& value : out["env_vars"]) value = kHidden;
  out["working_dir"] = s.working_dir;
  out["required_cores"] = s.cores;
  out["exclusive"] = s.exclusive;
  out["cpus"] = s.cpus.empty() ? Json(nullptr) : Json(s.cpus);
  out["required_gpus"] = s.gpus;
  out["required_memory_bytes"] = s.memory_bytes ? Json(s.memory_bytes) : Json(nullptr);
  out["target_numa_node_id"] = or_null(s.numa);
  out["status"] = to_string(t.state);
  out["attempt"] = s.attempt;
  out["retries"] = s.retries;
  out["time_limit_seconds"] = s.time_limit.count() > 0 ? Json(s.time_limit.count()) : Json(nullptr);
  out["on_partition"] = s.lease.count() > 0 ? "stop" : "keep";
  out["stop_signal"] = s.stop_signal;
  out["stop_grace_seconds"] = s.stop_grace.count();
  out["priority"] = s.priority;
  out["target"] = or_null(t.target);
  out["assigned_node"] = or_null(t.node);
  out["container_name"] = s.registry_image.empty() ? Json(s.environment) : Json(nullptr);
  out["registry_image"] = or_null(s.registry_image);
  out["docker_image_name"] = !s.registry_image.empty() ? Json(s.registry_image) : s.runs_on_host() ? Json(nullptr) : Json(s.environment);
  out["docker_privileged"] = s.privileged;
  out["docker_mount_dirs"] = mounts;
  out["stdout_path"] = (shared_dir / s.stdout_file).string();
  out["stderr_path"] = (shared_dir / s.stderr_file).string();
  out["exit_code"] = or_null(t.exit_code);
  out["error_message"] = or_null(t.message);
  out["submitted_at"] = local_time(t.submitted_at);
  out["started_at"] = local_time(t.started_at);
  out["completed_at"] = local_time(t.completed_at);
  out["image_id"] = or_null(t.image_id);
  // Before it runs, only a version that was asked for is sure.
  const std::string& tarball = t.tarball.empty() && s.exact ? s.tarball : t.tarball;
  const auto version = environment::Share::parse_file_name(tarball);
  out["tarball"] = or_null(tarball);
  out["version"] = version ? Json(version->second) : Json(nullptr);
  return out;
}

Json node_shape(const host::NodeView& n, const host::Usage& usage) {
  const auto& d = n.description;
  Json out;
  out["hostname"] = d.hostname;
  out["url"] = d.address.empty() ? Json(nullptr) : Json("http://" + d.address);
  out["total_cores"] = d.cores;
  out["cores_in_use"] = n.online ? Json(usage.cores) : Json("N/A");
  out["available_cores"] = n.online ? std::max(0, d.cores - usage.cores) : 0;
  out["status"] = n.online ? "online" : "offline";
  out["draining"] = n.draining;
  out["last_heartbeat"] = local_time(n.last_seen);
  out["numa_topology"] = os::json_of<Json>(d.numa);
  out["gpu_info"] = os::json_of<Json>(d.gpus);
  out["cpu_percent"] = n.load.cpu_percent;
  out["memory_percent"] = n.load.memory_percent;
  out["memory_used_bytes"] = n.load.memory_used_bytes;
  out["memory_total_bytes"] = d.memory_bytes;
  out["current_avg_temp"] = or_null(n.load.average_temperature);
  out["current_max_temp"] = or_null(n.load.maximum_temperature);
  out["host_tasks"] = or_null(d.host_tasks);
  out["vm_capable"] = false;
  out["vfio_gpus"] = Json::array();
  out["runner_version"] = d.version;
  return out;
}

Json node_detail_shape(const host::NodeView& n, const host::Usage& usage, const std::vector<store::TaskRecord>& tasks, const Identity& reader,
                       const std::filesystem::path& shared_dir) {
  Json out = node_shape(n, usage);
  out["memory_promised_bytes"] = usage.memory_bytes;
  out["gpus_in_use"] = usage.gpus;
  out["exclusive_cpus"] = usage.cpus;
  std::set<std::string> environments;
  for (const auto& holding : n.holdings) environments.insert(holding.environment);
  out["environments"] = environments;
  out["tasks"] = Json::array();
  for (const auto& task : tasks) out["tasks"].push_back(task_shape(task, reader, shared_dir));
  return out;
}

// Node names and numbers need no escape.
std::string loads_text(const host::LoadsOfNodes& loads) {
  using host::LoadHistory;
  constexpr std::array<std::string_view, LoadHistory::kMeasures> kNames{"cpu_percent", "memory_percent", "gpu_percent", "cores_in_use"};
  constexpr std::int64_t kStep = LoadHistory::kStepSeconds;
  std::string out = fmt::format(R"({{"step_seconds":{},"nodes":{{)", kStep);
  for (const auto& [name, minutes] : loads.nodes) {
    out += fmt::format(R"({}"{}":{{"start":{})", out.back() == '{' ? "" : ",", name, loads.first_minute * kStep);
    for (size_t measure = 0; measure < kNames.size(); ++measure) {
      out += fmt::format(R"(,"{}":[)", kNames[measure]);
      for (const auto& minute : minutes) append_tenths(out, minute[measure]);
      out.back() = ']';
    }
    out += "}";
  }
  return out + "}}";
}

Json health_sample_shape(const host::NodeView& n) {
  const auto& d = n.description;
  return {{"hostname", d.hostname}, {"status", n.online ? "online" : "offline"}, {"last_heartbeat", local_time(n.last_seen)},
          {"cpu_percent", n.load.cpu_percent}, {"memory_percent", n.load.memory_percent}, {"memory_used_bytes", n.load.memory_used_bytes},
          {"memory_total_bytes", d.memory_bytes}, {"total_cores", d.cores}, {"numa_topology", os::json_of<Json>(d.numa)},
          {"current_avg_temp", or_null(n.load.average_temperature)}, {"current_max_temp", or_null(n.load.maximum_temperature)},
          {"gpu_info", os::json_of<Json>(d.gpus)}};
}

Json health_aggregate_shape(const std::vector<host::NodeView>& nodes) {
  int online = 0, cores = 0;
  std::uint64_t memory = 0, used = 0;
  double cpu_by_core = 0;
  std::optional<double> average_temperature, maximum_temperature;
  for (const auto& n : nodes) {
    if (!n.online) continue;
    ++online;
    cores += n.description.cores;
    memory += n.description.memory_bytes;
    used += n.load.memory_used_bytes;
    cpu_by_core += n.load.cpu_percent * n.description.cores;
    if (n.load.average_temperature) average_temperature = std::max(average_temperature.value_or(0), *n.load.average_temperature);
    if (n.load.maximum_temperature) maximum_temperature = std::max(maximum_temperature.value_or(0), *n.load.maximum_temperature);
  }
  return {{"totalNodes", nodes.size()}, {"onlineNodes", online}, {"totalCores", cores}, {"totalMemBytes", memory}, {"usedMemBytes", used},
          {"avgCpuPercent", cores ? cpu_by_core / cores : 0.0}, {"avgMemPercent", memory ? 100.0 * static_cast<double>(used) / static_cast<double>(memory) : 0.0},
          {"maxAvgCpuTemp", or_null(average_temperature)}, {"maxMaxCpuTemp", or_null(maximum_temperature)}, {"lastUpdated", to_local_iso(wall_now())}};
}

}  // namespace riverbox::api
