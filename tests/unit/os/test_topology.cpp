#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "os/topology.hpp"
#include "os/topology_json.hpp"

using namespace riverbox::os;

TEST_CASE("this machine has cores and memory") {
  CHECK(cpu_count() >= 1);
  CHECK(total_memory_bytes() > 16u << 20);
  for (const auto& [id, node] : numa_nodes()) {
    CHECK(id >= 0);
    CHECK(node.memory_bytes <= 2 * total_memory_bytes());
  }
  std::set<int> cpus;
  size_t threads = 0;
  for (const auto& core : cpus_by_core()) {
    CHECK_FALSE(core.empty());
    cpus.insert(core.begin(), core.end());
    threads += core.size();
  }
  CHECK(cpus.size() == static_cast<size_t>(cpu_count()));
  CHECK(threads == cpus.size());
  LoadMeter meter;
  CHECK(meter.sample().cpu_percent == 0);  // nothing to compare with yet
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const Load load = meter.sample();
  CHECK(load.cpu_percent >= 0);
  CHECK(load.cpu_percent <= 100);
  CHECK(load.memory_percent > 0);
  CHECK(load.memory_percent < 100);
  CHECK(load.memory_used_bytes < load.memory_total_bytes);
}

TEST_CASE("what nvidia-smi prints becomes GPUs in order") {
  const auto gpus = parse_nvidia_smi(
      "1, NVIDIA A100-SXM4-80GB, 535.54.03, 00000000:07:00.0, 98, 1410, 40, 1593, 81920, 70000.5, 11919, 65, [N/A], 350.25, 400.00\n"
      "0, NVIDIA GeForce RTX 3090, 535.54.03, 00000000:01:00.0, 0, 210, 1, 405, 24576, 300, 24276, 31, 30, 21.10, 350.00\n");
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].gpu_id == 0);
  CHECK(gpus[0].fan_speed == 30);
  CHECK(gpus[0].power_usage_mw == 21100);
  CHECK(gpus[1].name == "NVIDIA A100-SXM4-80GB");
  CHECK(gpus[1].gpu_utilization == 98);
  CHECK(gpus[1].memory_used_mib == 70000.5);
  CHECK(gpus[1].fan_speed == -1);
  CHECK(gpus[1].power_limit_mw == 400000);
  CHECK(gpus[1].pci_bus_id == "00000000:07:00.0");
}

TEST_CASE("damaged output of nvidia-smi gives no GPUs and no failure") {
  CHECK(parse_nvidia_smi("").empty());
  CHECK(parse_nvidia_smi("No devices were found\n").empty());
  CHECK(parse_nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n").empty());
  CHECK(parse_nvidia_smi("0, too, few\n").empty());
  const auto odd = parse_nvidia_smi("0,x,y,z,[N/A],[Unknown Error],nan,inf,-5,1e400,,,,,\r\n");
  REQUIRE(odd.size() == 1);
  CHECK(odd[0].gpu_utilization == -1);
  CHECK(odd[0].mem_utilization == -1);
  CHECK(odd[0].memory_used_mib == -1);
}

TEST_CASE("CPUs as a runner tells them; from anything else nothing is made up") {
  using nlohmann::json;
  CHECK(cpus_of(json::parse("[[0,2],[1,3]]")) == std::vector<std::vector<int>>{{0, 2}, {1, 3}});
  for (const char* bad : {"null", "4", "[0,1]", "[[0],[0]]", "[[]]", "[[-1]]", "[[1.5]]", "[[70000]]", "[[18446744073709551615]]", "{}"}) {
    CAPTURE(bad);
    CHECK(cpus_of(json::parse(bad)).empty());
  }
}
