#include "runner/container_spec.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "base/mount_rule.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {
namespace {

namespace fs = std::filesystem;

// The user's variables and ours; ours win, because programs must be able to believe them. Under both names, whatever the prefix: scripts
// come from clusters of either kind.
std::vector<std::string> environment_of(const TaskSpec& task) {
  auto all = task.env;
  for (const std::string prefix : {"HAKURIVER", "KOHAKURIVER"}) {
    all[prefix + "_TASK_ID"] = task.id.str();
    all[prefix + "_ATTEMPT"] = std::to_string(task.attempt);
    all[prefix + "_LOCAL_TEMP_DIR"] = "/local_temp";
    all[prefix + "_SHARED_DIR"] = "/shared";
    if (task.numa) all[prefix + "_TARGET_NUMA_NODE"] = std::to_string(*task.numa);
  }
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const auto& [name, value] : all) out.push_back(name + "=" + value);
  return out;
}

const os::NumaNode& numa_node(int id, const NodeFacts& facts) {
  auto found = facts.numa.find(id);
  if (found != facts.numa.end()) return found->second;
  std::vector<std::string> present;
  for (const auto& [number, node] : facts.numa) present.push_back(std::to_string(number));
  throw docker::ResourceAllocationError(
      fmt::format("node {} has no NUMA node {}", facts.node, id),
      present.empty() ? "It reports no NUMA nodes at all; leave the number out of the target."
                      : fmt::format("It has {}.", join(present, ", ")));
}

void make_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) throw IoError(fmt::format("create {}", dir.string()), error.value(), "Create it, or give the runner the right to.");
}

// A link inside an allowed folder leads out of it, and Docker follows links: what counts is where the source really is.
void check_place(const MountSpec& mount, const TaskSpec& task, const NodeFacts& facts) {
  if (task.mount_roots.empty()) return;
  std::error_code error;
  const std::string place = fs::canonical(mount.source, error).string();
  std::vector<MountRule> rules;
  for (const auto& text : task.mount_roots) {
    std::error_code absent;
    auto rule = MountRule::parse(text);
    if (const auto real = fs::canonical(rule.path, absent); !absent) rules.push_back({real.string(), rule.read_only});
  }
  if (error || !is_allowed(rules, place, mount.read_only))
    throw Forbidden(fmt::format("cannot mount {} at {}: on node {} it leads to {}, which may not be mounted", printable(mount.source), printable(mount.target), facts.node,
                                printable(error ? error.message() : place)),
                    "What may be is in allowed_mounts below [tasks] in the configuration of the host.");
}

// Whatever the image starts by itself: somebody lives there, as on a machine of his own, and it comes back after a crash or a restart of the node.
void make_vps(docker::ContainerSpec& spec, const TaskSpec& task, const NodeFacts& facts) {
  constexpr const char* kProgram = "/usr/local/bin/riverbox";
  spec.entrypoint = {kProgram};
  spec.command = {"vps-init"};
  if (task.vps->ssh != VpsSpec::Ssh::disabled) spec.command.push_back(task.vps->ssh == VpsSpec::Ssh::none ? "--ssh-without-key" : "--ssh");
  spec.user = "0";
  spec.working_dir.clear();
  spec.restart_policy = "unless-stopped";
  spec.hostname = task.name.empty() ? "vps-" + task.id.str() : task.name;
  spec.mounts.push_back({facts.program.string(), kProgram, true});
}

}  // namespace

std::string container_name(const docker::Naming& naming, const TaskSpec& task) { return task.vps ? naming.vps_container(task.id) : naming.task_container(task.id); }

std::string owner_label(const docker::Naming& naming) { return naming.label("runner_state"); }

docker::ContainerSpec container_spec(const TaskSpec& task, const std::string& image_id, const NodeFacts& facts) {
  docker::ContainerSpec spec;
  spec.image = image_id;
  spec.command = task_argv(task);  // the entrypoint of the image stays
  spec.env = environment_of(task);
  if (!facts.tunnel_gateway.empty()) {
    spec.env.push_back("RUNNER_URL=ws://" + facts.tunnel_gateway);
    spec.env.push_back("CONTAINER_ID=" + container_name(facts.naming, task));
  }
  spec.working_dir = task.working_dir;
  spec.labels = facts.naming.task_labels(task.id, task_type(task), facts.node, task.attempt, task.epoch);
  spec.labels[owner_label(facts.naming)] = facts.state_file;
  spec.mounts.push_back({(facts.shared_dir / "shared_data").string(), "/shared", false});
  spec.mounts.push_back({facts.local_temp_dir.string(), "/local_temp", false});
  for (const auto& mount : task.mounts) spec.mounts.push_back({mount.source, mount.target, mount.read_only});
  spec.mounts.push_back({(facts.doors / container_name(facts.naming, task)).string(), "/run/riverbox", true});
  spec.mounts.push_back({facts.program.string(), "/usr/local/bin/tunnel-client", true});
  spec.cpus = task.cores;
  spec.memory_bytes = task.memory_bytes;
  std::vector<int> cpus = task.cpus;
  if (task.numa) {
    const auto& node = numa_node(*task.numa, facts);
    if (cpus.empty()) cpus = node.cores;
    spec.cpuset_mems = std::to_string(*task.numa);
  }
  spec.cpuset_cpus = fmt::format("{}", fmt::join(cpus, ","));
  spec.gpus = task.gpus;
  spec.privileged = task.privileged;
  spec.pids_limit = facts.pids_limit;
  spec.network = facts.network;
  spec.stop_signal = task.stop_signal;  // also for who stops it from outside, or the machine
  spec.stop_timeout = task.stop_grace;
  spec.init = true;  // signals reach the program, orphans are reaped
  // The engine keeps the output whatever its default driver is: adoption reads it again. Not json-file, which replaces bytes that are no
  // UTF-8. The driver "local" keeps the newest 100 MB unless told otherwise; a terabyte in one file is all of it. No smaller limit is safe,
  // also where less is kept on the share: that are the first bytes of each stream, the engine would drop the oldest ones of both, and a
  // runner that adopts the task after that could not tell which bytes it reads.
  spec.log_driver = "local";
  spec.log_options = {{"max-size", "1t"}, {"max-file", "1"}, {"compress", "false"}};
  if (task.vps) make_vps(spec, task, facts);
  return spec;
}

os::Place share_file(const fs::path& shared_dir, const std::string& relative) {
  fs::path path(relative);
  bool climbs = std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
  if (relative.empty() || path.is_absolute() || climbs || !path.has_filename() || relative.find('\0') != std::string::npos)
    throw InvalidInput(fmt::format("the task's output file \"{}\" is not a path inside the share", printable(relative, 200)));
  return {shared_dir, path};
}

void prepare_mounts(const TaskSpec& task, const NodeFacts& facts) {
  struct stat status {};
  if (stat(facts.shared_dir.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    throw NotFound(fmt::format("the shared folder {} is not there on node {}", facts.shared_dir.string(), facts.node),
                   "Mount it, or set [paths] shared_dir in the runner's configuration.");
  os::make_folders_beneath({facts.shared_dir, "shared_data"});  // Docker would follow a link there, to wherever it leads on this machine
  make_folder(facts.local_temp_dir);
  for (const auto& mount : task.mounts) {
    if (stat(mount.source.c_str(), &status) != 0)
      throw NotFound(fmt::format("cannot mount {} at {}: {} on node {}", printable(mount.source), printable(mount.target),
                                 errno == ENOENT ? "it does not exist" : std::generic_category().message(errno), facts.node),
                     "Create it on that node, or leave the mount out.");
    check_place(mount, task, facts);
  }
}

}  // namespace riverbox::runner
