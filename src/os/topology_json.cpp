#include "os/topology_json.hpp"

#include <set>

namespace riverbox::os {
namespace {

using nlohmann::json;

void take(const json& object, const char* name, std::string& out) {
  if (const auto it = object.find(name); it != object.end() && it->is_string()) out = it->get<std::string>();
}

template <class Number>
void take(const json& object, const char* name, Number& out) {
  if (const auto it = object.find(name); it != object.end() && it->is_number()) out = it->get<Number>();
}

}  // namespace

std::vector<Gpu> gpus_of(const json& list) {
  std::vector<Gpu> gpus;
  if (!list.is_array()) return gpus;
  for (const json& object : list) {
    if (!object.is_object() || !object.contains("gpu_id") || !object["gpu_id"].is_number_integer()) throw InvalidInput("a GPU without gpu_id");
    Gpu gpu;
    gpu.gpu_id = object["gpu_id"].get<int>();
    for_each_field(gpu, [&](const char* name, auto& value) { take(object, name, value); });
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

std::map<int, NumaNode> numa_of(const json& object) {
  std::map<int, NumaNode> nodes;
  if (!object.is_object()) return nodes;
  for (const auto& [id, node] : object.items()) {
    const auto number = parse_u64(id);
    if (!number || *number >= 1024) continue;
    try {
      nodes[static_cast<int>(*number)] = {node.at("cores").get<std::vector<int>>(), node.value("memory_bytes", std::uint64_t{0})};
    } catch (const json::exception&) {
      throw InvalidInput("NUMA node " + id + " has no cores, or its memory is no number");
    }
  }
  return nodes;
}

std::vector<std::vector<int>> cpus_of(const json& list) {
  std::vector<std::vector<int>> cores;
  std::set<int> seen;
  if (!list.is_array()) return {};
  for (const json& core : list) {
    if (!core.is_array() || core.empty()) return {};
    cores.emplace_back();
    for (const json& cpu : core) {
      if (!cpu.is_number_unsigned() || cpu.get<std::uint64_t>() > 65535 || !seen.insert(cpu.get<int>()).second) return {};
      cores.back().push_back(cpu.get<int>());
    }
  }
  return cores;
}

}  // namespace riverbox::os
