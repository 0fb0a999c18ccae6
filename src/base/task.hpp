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

// Everything a runner needs to start one attempt of a task.
struct TaskSpec {
  TaskId id;
  int attempt = 1;
  std::int64_t epoch = 1;
  std::string command;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> env;
  int cores = 1;                       // 0 = no limit
  std::uint64_t memory_bytes = 0;      // 0 = no limit
  std::optional<int> numa;
  std::vector<int> gpus;
  int gpu_count = 0;                   // so many, whichever are free where it starts; `gpus` then are those it got
  std::vector<TaskId> after;           // it starts when these have completed
  int priority = 0;                    // higher starts earlier
  int retries = 0;                     // so many more attempts, when one fails or is lost
  std::chrono::seconds time_limit{0};  // it is ended after so long; 0 = no limit
  std::string environment;             // name of the environment (parsed by the runner)
  std::string tarball;                 // the newest archive the host knew at dispatch; may be empty
  bool exact = false;                  // this tarball and no newer one (NAME@VERSION)
  bool privileged = false;
  std::vector<MountSpec> mounts;
  std::string working_dir = "/shared";
  std::string stdout_file, stderr_file;  // relative to the share
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
