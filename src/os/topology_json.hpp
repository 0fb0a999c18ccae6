// What a machine has, as JSON: over the link, in the API and in the host's table of nodes. The fields of a GPU are HakuRiver's.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "os/topology.hpp"

namespace riverbox::os {

// `Each` is called with the name and the member of every field but the id; templates serve reading and writing, and both kinds of JSON object.
template <class AnyGpu, class Each>
void for_each_field(AnyGpu& gpu, Each each) {
  each("name", gpu.name), each("driver_version", gpu.driver_version), each("pci_bus_id", gpu.pci_bus_id);
  each("gpu_utilization", gpu.gpu_utilization), each("graphics_clock_mhz", gpu.graphics_clock_mhz);
  each("mem_utilization", gpu.mem_utilization), each("mem_clock_mhz", gpu.mem_clock_mhz);
  each("memory_total_mib", gpu.memory_total_mib), each("memory_used_mib", gpu.memory_used_mib), each("memory_free_mib", gpu.memory_free_mib);
  each("temperature", gpu.temperature), each("fan_speed", gpu.fan_speed);
  each("power_usage_mw", gpu.power_usage_mw), each("power_limit_mw", gpu.power_limit_mw);
}

template <class Json>
Json json_of(const std::vector<Gpu>& gpus) {
  Json list = Json::array();
  for (const Gpu& gpu : gpus) {
    Json object{{"gpu_id", gpu.gpu_id}};
    for_each_field(gpu, [&](const char* name, const auto& value) {
      if constexpr (std::is_same_v<decltype(value), const std::string&>) object[name] = valid_utf8(value);  // a driver's word
      else object[name] = value;
    });
    list.push_back(std::move(object));
  }
  return list;
}

template <class Json>
Json json_of(const std::map<int, NumaNode>& nodes) {
  if (nodes.empty()) return nullptr;
  Json object = Json::object();
  for (const auto& [id, node] : nodes) object[std::to_string(id)] = {{"cores", node.cores}, {"memory_bytes", node.memory_bytes}};
  return object;
}

// Tolerant of fields that are missing or of another type. Throws InvalidInput without gpu_id.
std::vector<Gpu> gpus_of(const nlohmann::json& list);
// Throws InvalidInput for a node without a list of cores.
std::map<int, NumaNode> numa_of(const nlohmann::json& object);
// The lists of cpus_by_core(). Empty for anything else than lists of different CPUs.
std::vector<std::vector<int>> cpus_of(const nlohmann::json& list);

}  // namespace riverbox::os
