// What host and runner say to each other about tasks and nodes (the two never include each other). JSON conversions in task.cpp.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/task_state.hpp"

namespace riverbox {

// "NODE[:NUMA][::GPU,GPU...]", the target syntax of HakuRiver's client.
struct Target {
  NodeName node;
  std::optional<int> numa;
  std::vector<int> gpus;
  static Target parse(std::string_view text);  // throws InvalidInput naming the part that is wrong
  std::string str() const;
};

// "HOST_PATH:CONTAINER_PATH[:ro]". Throws InvalidInput; both paths absolute.
struct MountSpec {
  std::string source, target;
  bool read_only = false;
  static MountSpec parse(std::string_view text);
  std::string str() const;
};

// What ends a task: "INT", "SIGINT" and "2" are "SIGINT", "RTMIN+3" is "SIGRTMIN+3". Throws InvalidInput, also for STOP and CONT.
std::string parse_stop_signal(std::string_view text);
// The number of a signal of this machine, by such a name. Throws InvalidInput.
int signal_number(std::string_view name);
inline constexpr std::chrono::seconds kMaxStopGrace{3600};
// The name of no environment: the task runs without a container, as a process of its node. As HakuRiver writes it.
inline constexpr std::string_view kNoContainer = "NULL";

// A VPS is a task whose container outlives its attempts: what stops it keeps the container, and each start is a new attempt in the same one (docs/vps.md).
struct VpsSpec {
  enum class Ssh {
    disabled,
    upload,    // by the keys that its user gave
    generate,  // by one that was made for its user, who has the private half
    none,      // without any
  };
  bool made = false;  // its container has been there: none is made in its place unasked
  Ssh ssh = Ssh::disabled;
  std::string ssh_public_keys = {};  // lines, as in authorized_keys
  // This start begins in a new container, in the place of the one that there is: of this snapshot (base/snapshot.hpp), or of its environment.
  std::optional<std::int64_t> from_snapshot = {};
  bool fresh = false;
  bool discard = false;  // and no snapshot is taken of what was in the old one
  bool begins_anew() const { return fresh || from_snapshot; }
};
std::string_view to_string(VpsSpec::Ssh mode);
VpsSpec::Ssh parse_ssh_mode(std::string_view text);  // throws InvalidInput

// Everything a runner needs to start one attempt of a task.
struct TaskSpec {
  TaskId id;
  int attempt = 1;
  std::int64_t epoch = 1;
  std::string claim;                   // random, of this attempt; the node that shows it was given it
  std::string name;                    // what its user calls it; may be empty
  std::string command;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> env;
  int cores = 1;                       // 0 = no limit
  bool exclusive = false;              // CPUs of its own, as many as `cores`
  std::vector<int> cpus;               // those it may run on, given by the host at its start; empty: all
  std::uint64_t memory_bytes = 0;      // 0 = no limit
  std::optional<int> numa;
  std::vector<int> gpus;
  int gpu_count = 0;                   // so many, whichever are free where it starts; `gpus` then are those it got
  std::vector<TaskId> after;           // it starts when these have completed
  int priority = 0;                    // higher starts earlier
  int retries = 0;                     // so many more attempts, when one fails or is lost
  std::chrono::seconds time_limit{0};  // it is ended after so long; 0 = no limit
  std::chrono::seconds lease{0};       // its node ends it after so long without a word of the host; 0 = it runs on
  std::string stop_signal = "SIGTERM";  // asks it to end; SIGKILL follows after `stop_grace`
  std::chrono::seconds stop_grace{10};
  std::string registry_image;          // a reference that the runner pulls, instead of an environment
  std::string environment;             // name of the environment (parsed by the runner)
  std::string tarball;                 // the newest archive the host knew at dispatch; may be empty
  bool exact = false;                  // this tarball and no newer one (NAME@VERSION)
  bool privileged = false;
  std::vector<MountSpec> mounts;
  std::vector<std::string> mount_roots;  // rules (base/mount_rule.hpp) that the sources must obey when their links are followed; empty: none
  std::string working_dir = "/shared";
  std::string stdout_file, stderr_file;  // relative to the share
  std::uint64_t max_output_bytes = 0;    // of each of them; what is beyond is not kept. 0 = no limit
  std::optional<VpsSpec> vps;            // it is one

  bool runs_on_host() const { return environment == kNoContainer; }
};
void to_json(nlohmann::json& j, const TaskSpec& spec);
void from_json(const nlohmann::json& j, TaskSpec& spec);

// The argv to run in the container. No arguments and a blank or shell character in `command`: ["/bin/sh","-c",command],
// so that "a && b; c" means what a shell user expects. Otherwise command and arguments verbatim.
std::vector<std::string> task_argv(const TaskSpec& spec);

// One fact about an attempt, reported by the runner; idempotent. Kept in the runner's outbox until acknowledged.
struct TaskReport {
  TaskId id;
  int attempt = 1;
  std::int64_t epoch = 1;
  TaskState state = TaskState::running;
  std::optional<int> exit_code;
  std::string message;                 // why it failed, or progress such as "loading 43 %"
  bool timed_out = false;              // it failed because its time was up
  std::string started_at, completed_at;  // RFC 3339 or empty
  std::string image_id, tarball;       // of the container, and the version it is of, once known
};
void to_json(nlohmann::json& j, const TaskReport& report);
void from_json(const nlohmann::json& j, TaskReport& report);

}  // namespace riverbox
