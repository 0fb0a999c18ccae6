// Parsing of what clients and runners send: every field is checked here, once.
#include "api/fields.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxPriority = 1000;
constexpr size_t kMaxClientId = 200;
constexpr size_t kMaxBatch = 10'000;

int priority_of(const json& body) {
  auto value = field(body, "priority");
  if (!value) return 0;
  const bool fine = value->is_number_unsigned() ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxPriority)
                                                : value->is_number_integer() && value->get<std::int64_t>() >= -kMaxPriority;  // below zero
  if (!fine) wrong("priority", "a whole number from -1000 to 1000");
  return value->get<int>();
}

std::map<std::string, std::string> variables(const json& body) {
  std::map<std::string, std::string> out;
  auto value = field(body, "env_vars");
  if (!value || (value->is_array() && value->empty())) return out;  // HakuRiver writes an empty object as []
  if (!value->is_object()) wrong("env_vars", "an object of strings");
  for (const auto& [key, one] : value->items()) {
    if (!one.is_string()) wrong("env_vars." + key, "a string");
    auto text = one.get<std::string>();
    if (key.empty() || key.find_first_of(std::string("=\0\n", 3)) != std::string::npos || text.find('\0') != std::string::npos)
      wrong("env_vars", "names without '=' and values without NUL bytes");
    out[key] = std::move(text);
  }
  return out;
}

std::vector<std::vector<int>> gpu_lists(const json& body, size_t targets) {
  auto value = field(body, "required_gpus");
  if (!value || (value->is_array() && value->empty())) return std::vector<std::vector<int>>(targets);
  if (!value->is_array()) wrong("required_gpus", "a list of lists of GPU ids, one per target");
  std::vector<std::vector<int>> out;
  bool any = false;
  for (const auto& list : *value) {
    if (!list.is_array()) wrong("required_gpus", "a list of lists of GPU ids, one per target");
    out.emplace_back();
    for (const auto& id : list) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > 1023) wrong("required_gpus", "a list of lists of GPU ids");
      out.back().push_back(id.get<int>());
      any = true;
    }
  }
  if (any && targets == 0) throw InvalidInput("No target node specified for GPU task is not allowed", "Name the node with --target NODE::GPU.");
  if (targets && out.size() != targets) throw InvalidInput("required_gpus must have one list for each target");
  if (!targets) out.clear();
  return out;
}

}  // namespace

host::Submission parse_submission(const json& body, const Config& config) {
  host::Submission out;
  auto type = text(body, "task_type", "command");
  if (type != "command") throw InvalidInput("task_type '" + printable(type) + "' is not supported by this host", "Only 'command' is.");
  auto& spec = out.spec;
  spec.command = text(body, "command", "");
  if (trim(spec.command).empty()) throw InvalidInput("field 'command' is empty: there is nothing to run");
  spec.arguments = texts(body, "arguments");
  spec.env = variables(body);
  spec.cores = static_cast<int>(number(body, "required_cores", 1, 100000));
  spec.memory_bytes = number(body, "required_memory_bytes", 0, 1ull << 50);
  if (spec.memory_bytes > 0 && spec.memory_bytes < (6u << 20)) throw InvalidInput("required_memory_bytes is too small", "Docker's minimum is 6 MiB.");
  spec.environment = text(body, "container_name", config.docker.default_container_name);
  if (spec.environment == "NULL")
    throw InvalidInput("tasks without a container (NULL) are not supported by this host", "Name an environment with --container NAME.");
  if (const size_t at = spec.environment.find('@'); at != std::string::npos) {  // NAME@VERSION
    out.version = spec.environment.substr(at + 1);
    spec.environment.resize(at);
    if (out.version.empty()) throw InvalidInput("field 'container_name' names no version after '@'", "Write NAME, or NAME@VERSION as `hakuriver.docker versions NAME` shows them.");
  }
  spec.privileged = flag(body, "privileged").value_or(config.docker.tasks_privileged);
  auto mounts = field(body, "additional_mounts") ? texts(body, "additional_mounts") : config.docker.additional_mounts;
  for (const auto& mount : mounts) spec.mounts.push_back(MountSpec::parse(mount));

  out.may_wait = !flag(body, "no_wait").value_or(false);
  spec.priority = priority_of(body);
  constexpr std::uint64_t kMaxSeconds = 366 * 86400;
  spec.retries = static_cast<int>(number(body, "retries", 0, 1000));
  spec.time_limit = std::chrono::seconds(number(body, "time_limit_seconds", 0, kMaxSeconds));
  spec.gpu_count = static_cast<int>(number(body, "gpu_count", 0, 1023));
  for (const auto& id : texts(body, "after")) spec.after.push_back(TaskId::parse(id));
  if (!spec.after.empty() && !out.may_wait) throw InvalidInput("after and no_wait contradict each other", "Leave one of them out.");
  auto targets = texts(body, "targets");
  auto gpus = gpu_lists(body, targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    auto target = Target::parse(targets[i]);
    if (!gpus[i].empty()) target.gpus = gpus[i];
    if (spec.gpu_count > 0 && !target.gpus.empty()) throw InvalidInput("gpu_count cannot go with GPUs that are named", "Ask for so many, or for these.");
    out.targets.push_back(std::move(target));
  }
  return out;
}

std::string parse_client_id(const json& body) {
  auto id = text(body, "client_id", "");
  if (id.size() > kMaxClientId) wrong("client_id", "at most 200 bytes long");
  return id;
}

std::vector<host::Submission> parse_batch(const json& body, const Config& config) {
  const auto tasks = field(body, "tasks");
  if (!tasks || !tasks->is_array() || tasks->empty() || tasks->size() > kMaxBatch) wrong("tasks", "a list of 1 to " + std::to_string(kMaxBatch) + " submissions");
  std::vector<host::Submission> out;
  for (size_t i = 0; i < tasks->size(); ++i) {
    const json& one = (*tasks)[i];
    try {
      if (!one.is_object()) throw InvalidInput("it is no object");
      if (field(one, "client_id")) throw InvalidInput("field 'client_id' is of the whole batch");
      out.push_back(parse_submission(one, config));
      if (!out.back().may_wait && tasks->size() > 1) throw InvalidInput("field 'no_wait' is for single tasks");
    } catch (const InvalidInput& error) {
      throw InvalidInput("task " + std::to_string(i) + " of the batch: " + error.fact(), error.next());
    }
  }
  return out;
}

}  // namespace riverbox::api
