#include "os/topology.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"

namespace riverbox::os {
namespace {

namespace fs = std::filesystem;

constexpr unsigned long long kMaxNodes = 4096, kMaxGpus = 4096;

// Files of /proc and /sys may be missing in containers: then the text is empty.
std::string read_optional(const fs::path& path) {
  try {
    return read_file(path, 1 << 20);
  } catch (const Error&) {
    return "";
  }
}

// "0-3,8,10-11" as the kernel writes CPU lists.
std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  for (const std::string& range : split(trim(text), ',')) {
    const size_t dash = range.find('-');
    const auto first = parse_u64(range.substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_u64(range.substr(dash + 1));
    if (!first || !last || *last > 65535) continue;
    for (auto cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

// "MemTotal:  16384 kB" or "Node 0 MemTotal:  16384 kB" -> bytes; 0 if absent.
std::uint64_t meminfo_bytes(std::string_view text, std::string_view key) {
  const size_t at = text.find(fmt::format("{}:", key));
  if (at == std::string_view::npos) return 0;
  std::string_view value = text.substr(at + key.size() + 1);
  value = trim(value.substr(0, value.find('\n')));
  return parse_u64(value.substr(0, value.find(' '))).value_or(0) * 1024;
}

std::optional<double> parse_real(std::string_view text) {
  text = trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // "nan" and "inf" would be accepted by from_chars and refused by JSON.
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || !(value > -1e18 && value < 1e18)) return std::nullopt;
  return value;
}

// Absent values are "[N/A]" or "[Not Supported]".
double real_or_unknown(std::string_view text) { return parse_real(text).value_or(-1); }
int int_or_unknown(std::string_view text, double factor = 1) {
  const auto value = parse_real(text);
  return value && *value >= 0 && *value * factor < 2e9 ? static_cast<int>(*value * factor + 0.5) : -1;
}

struct CpuTimes {
  std::uint64_t busy = 0, total = 0;
};

// The first line of /proc/stat: user nice system idle iowait irq softirq steal (guest times are inside user).
CpuTimes cpu_times() {
  const std::string text = read_optional("/proc/stat");
  CpuTimes times;
  int column = 0;
  for (const std::string& field : split(std::string_view(text).substr(0, text.find('\n')), ' ')) {
    const auto value = parse_u64(field);
    if (!value) continue;  // "cpu" and the double blank after it
    if (column >= 8) break;
    times.total += *value;
    if (column != 3 && column != 4) times.busy += *value;
    ++column;
  }
  return times;
}

// Sensors of processors and packages; disks and network cards have their own ideas of warm.
void read_temperatures(Load& load) {
  double sum = 0;
  int count = 0;
  std::error_code ignored;
  for (const auto& device : fs::directory_iterator("/sys/class/hwmon", ignored)) {
    const std::string driver(trim(read_optional(device.path() / "name")));
    if (driver != "coretemp" && driver != "k10temp" && driver != "zenpower" && driver != "cpu_thermal") continue;
    for (const auto& file : fs::directory_iterator(device.path(), ignored)) {
      const std::string name = file.path().filename().string();
      if (!name.starts_with("temp") || !name.ends_with("_input")) continue;
      const auto milli = parse_i64(trim(read_optional(file.path())));
      if (!milli || *milli <= 0) continue;
      const double celsius = static_cast<double>(*milli) / 1000;
      sum += celsius;
      ++count;
      load.maximum_temperature = std::max(load.maximum_temperature.value_or(celsius), celsius);
    }
  }
  if (count) load.average_temperature = sum / count;
}

// In ascending order. Also right beyond 1024 processors, for which cpu_set_t is too small. Empty when the kernel does not say.
std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  for (size_t most = 1024; most <= 65536 && cpus.empty(); most *= 4) {
    cpu_set_t* set = CPU_ALLOC(most);
    if (!set) break;
    const size_t size = CPU_ALLOC_SIZE(most);
    if (::sched_getaffinity(0, size, set) == 0)
      for (size_t cpu = 0; cpu < most; ++cpu)
        if (CPU_ISSET_S(cpu, size, set)) cpus.push_back(static_cast<int>(cpu));
    CPU_FREE(set);
  }
  return cpus;
}

}  // namespace

int cpu_count() {
  const auto cpus = usable_cpus();
  return cpus.empty() ? static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))) : static_cast<int>(cpus.size());
}

std::vector<std::vector<int>> cpus_by_core() {
  std::map<int, std::vector<int>> cores;  // by the first thread of each, usable or not
  for (const int cpu : usable_cpus()) {
    const auto threads = parse_cpu_list(read_optional(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu)));
    cores[threads.empty() ? cpu : threads.front()].push_back(cpu);
  }
  std::vector<std::vector<int>> out;
  for (auto& [first, threads] : cores) out.push_back(std::move(threads));
  return out;
}

std::uint64_t total_memory_bytes() {
  struct sysinfo info {};
  return ::sysinfo(&info) == 0 ? static_cast<std::uint64_t>(info.totalram) * info.mem_unit : 0;
}

std::map<int, NumaNode> numa_nodes() {
  std::map<int, NumaNode> nodes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename().string();
    const auto id = parse_u64(name.starts_with("node") ? std::string_view(name).substr(4) : "").value_or(kMaxNodes);
    if (id >= kMaxNodes) continue;
    NumaNode& node = nodes[static_cast<int>(id)];
    node.cores = parse_cpu_list(read_optional(entry.path() / "cpulist"));
    node.memory_bytes = meminfo_bytes(read_optional(entry.path() / "meminfo"), "MemTotal");
  }
  return nodes;
}

const char* const kNvidiaSmiQuery =
    "index,name,driver_version,pci.bus_id,utilization.gpu,clocks.current.graphics,utilization.memory,clocks.current.memory,"
    "memory.total,memory.used,memory.free,temperature.gpu,fan.speed,power.draw,power.limit";

std::vector<Gpu> parse_nvidia_smi(std::string_view csv) {
  std::vector<Gpu> gpus;
  for (const std::string& line : split(csv, '\n')) {
    const std::vector<std::string> fields = split(line, ',');
    const auto id = fields.size() == 15 ? parse_u64(trim(fields[0])) : std::nullopt;
    if (!id || *id >= kMaxGpus) continue;  // warnings of the driver are on stdout, too
    Gpu gpu;
    gpu.gpu_id = static_cast<int>(*id);
    gpu.name = trim(fields[1]);
    gpu.driver_version = trim(fields[2]);
    gpu.pci_bus_id = trim(fields[3]);
    gpu.gpu_utilization = int_or_unknown(fields[4]);
    gpu.graphics_clock_mhz = int_or_unknown(fields[5]);
    gpu.mem_utilization = int_or_unknown(fields[6]);
    gpu.mem_clock_mhz = int_or_unknown(fields[7]);
    gpu.memory_total_mib = real_or_unknown(fields[8]);
    gpu.memory_used_mib = real_or_unknown(fields[9]);
    gpu.memory_free_mib = real_or_unknown(fields[10]);
    gpu.temperature = int_or_unknown(fields[11]);
    gpu.fan_speed = int_or_unknown(fields[12]);
    gpu.power_usage_mw = int_or_unknown(fields[13], 1000);  // it prints watts
    gpu.power_limit_mw = int_or_unknown(fields[14], 1000);
    gpus.push_back(std::move(gpu));
  }
  std::sort(gpus.begin(), gpus.end(), [](const Gpu& a, const Gpu& b) { return a.gpu_id < b.gpu_id; });
  return gpus;
}

std::vector<Gpu> gpus() {
  try {
    const ProcessResult result = run_process({"nvidia-smi", fmt::format("--query-gpu={}", kNvidiaSmiQuery), "--format=csv,noheader,nounits"},
                                             std::chrono::seconds(5));
    if (result.exit_code == 0) return parse_nvidia_smi(result.stdout_text);
  } catch (const Error&) {
    // A driver that hangs or a program that cannot be run: the machine is usable, its GPUs are not.
  }
  return {};
}

Load LoadMeter::sample() {
  Load load;
  const CpuTimes now = cpu_times();
  if (total_ && now.total > total_ && now.busy >= busy_)
    load.cpu_percent = std::min(100.0, 100.0 * static_cast<double>(now.busy - busy_) / static_cast<double>(now.total - total_));
  busy_ = now.busy;
  total_ = now.total;

  const std::string meminfo = read_optional("/proc/meminfo");
  load.memory_total_bytes = meminfo_bytes(meminfo, "MemTotal");
  const std::uint64_t available = meminfo_bytes(meminfo, "MemAvailable");
  load.memory_used_bytes = load.memory_total_bytes - std::min(available, load.memory_total_bytes);
  if (load.memory_total_bytes)
    load.memory_percent = 100.0 * static_cast<double>(load.memory_used_bytes) / static_cast<double>(load.memory_total_bytes);
  read_temperatures(load);
  return load;
}

}  // namespace riverbox::os
