// What this machine has: cores, memory, NUMA nodes, GPUs. From /proc, /sys and `nvidia-smi` where there is one.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace riverbox::os {

struct NumaNode {
  std::vector<int> cores;
  std::uint64_t memory_bytes = 0;
};
struct Gpu {  // the fields of HakuRiver's GPU object; -1 = unknown
  int gpu_id = 0;
  std::string name, driver_version, pci_bus_id;
  int gpu_utilization = -1, graphics_clock_mhz = -1, mem_utilization = -1, mem_clock_mhz = -1;
  double memory_total_mib = -1, memory_used_mib = -1, memory_free_mib = -1;
  int temperature = -1, fan_speed = -1, power_usage_mw = -1, power_limit_mw = -1;
};
struct Load {
  double cpu_percent = 0, memory_percent = 0;
  std::uint64_t memory_used_bytes = 0, memory_total_bytes = 0;
  std::optional<double> average_temperature, maximum_temperature;
};

int cpu_count();                       // usable by this process
// Those, by physical core: the threads of one together. Numbers are the kernel's.
std::vector<std::vector<int>> cpus_by_core();
std::uint64_t total_memory_bytes();
std::map<int, NumaNode> numa_nodes();  // from /sys/devices/system/node; empty without NUMA information
std::vector<Gpu> gpus();               // empty without nvidia-smi; blocking, at most 5 s
// The parser of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`, apart from the program for the tests.
std::vector<Gpu> parse_nvidia_smi(std::string_view csv);
extern const char* const kNvidiaSmiQuery;
// CPU use since the previous call on this object.
class LoadMeter {
public:
  Load sample();

private:
  std::uint64_t busy_ = 0, total_ = 0;
};

}  // namespace riverbox::os
