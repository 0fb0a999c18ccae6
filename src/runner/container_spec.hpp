// From a task to the container that runs it ("Task Container Configuration" of seeds/003-kohakuriver-docker-integration.txt).
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "base/task.hpp"
#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "os/beneath.hpp"
#include "os/topology.hpp"

namespace riverbox::runner {

// What is the same for every task of this node.
struct NodeFacts {
  docker::Naming naming;
  std::string node;
  std::filesystem::path shared_dir, local_temp_dir;
  std::map<int, os::NumaNode> numa;
  std::string state_file;  // tells our containers from those of another runner on the same daemon
  int pids_limit = 0;      // of each task; 0 = none
  std::string network;     // that each task joins; empty: the engine's own default
  std::filesystem::path program;  // this executable, where containers can mount it
  std::filesystem::path doors;    // a folder for each container, which is mounted in it (runner/doors.hpp)
  std::string tunnel_gateway;     // where containers come that have no socket; empty: none do
};

// The value of the label "task_type".
inline constexpr std::string_view kCommandType = "command";
inline std::string_view task_type(const TaskSpec& task) { return task.vps ? "vps" : kCommandType; }
// The name of its container.
std::string container_name(const docker::Naming& naming, const TaskSpec& task);

// The label whose value is NodeFacts::state_file.
std::string owner_label(const docker::Naming& naming);

// Pure. Throws docker::ResourceAllocationError when the NUMA node does not exist here.
docker::ContainerSpec container_spec(const TaskSpec& task, const std::string& image_id, const NodeFacts& facts);

// The file of the share that `relative` means. Throws InvalidInput for an empty, absolute or climbing path. Pure.
os::Place share_file(const std::filesystem::path& shared_dir, const std::string& relative);

// Makes shared_data and local_temp_dir when they are missing and checks that every source of a mount exists. The share
// itself is never made: a folder in the place of a missing mount would swallow results. Throws IoError, NotFound, Forbidden for
// a source that leads out of the task's mount_roots.
void prepare_mounts(const TaskSpec& task, const NodeFacts& facts);

}  // namespace riverbox::runner
