// Parsing of what clients and runners send: every field is checked here, once.
#include <algorithm>

#include "api/fields.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "docker/reference.hpp"

namespace riverbox::api {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxPriority = 1000;
constexpr size_t kMaxClientId = 200;
constexpr size_t kMaxReference = 512;
constexpr size_t kMaxName = 200;
constexpr std::chrono::seconds kMaxTimeLimit{366 * 86400};
constexpr size_t kMaxBatch = 10'000;

int priority_of(const json& body) {
  auto value = field(body, "priority");
  if (!value) return 0;
  const bool fine = value->is_number_unsigned() ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxPriority)
                                                : value->is_number_integer() && value->get<std::int64_t>() >= -kMaxPriority;  // below zero
  if (!fine) wrong("priority", "a whole number from -1000 to 1000");
  return value->get<int>();
}

std::chrono::seconds seconds_of(const json& body, const char* name, std::chrono::seconds otherwise, std::chrono::seconds most) {
  return std::chrono::seconds(number(body, name, static_cast<std::uint64_t>(otherwise.count()), static_cast<std::uint64_t>(most.count())));
}

std::string name_of(const json& body) {
  auto name = text(body, "name", "");
  if (name.size() > kMaxName || printable(name, kMaxName) != name) wrong("name", "at most 200 bytes of text that can be printed");
  return name;
}

std::string working_dir_of(const json& body, const std::string& otherwise) {
  auto folder = text(body, "working_dir", otherwise);
  if (!folder.starts_with('/')) wrong("working_dir", "an absolute path in the container");
  return folder;
}

// A lease that is shorter than a few beats would end tasks for nothing.
std::chrono::seconds lease_of(const json& body, const Config::Timing& timing) {
  const auto policy = text(body, "on_partition", timing.on_partition);
  if (policy != "keep" && policy != "stop") wrong("on_partition", "\"keep\" or \"stop\"");
  return policy == "keep" ? std::chrono::seconds(0) : std::max(timing.lease, 3 * timing.heartbeat_interval);
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

// What only a container can have; the defaults of the configuration are for containers.
void refuse_container_fields(const json& body, const std::string& version) {
  const auto refuse = [](const std::string& what) { throw InvalidInput("a task without a container (NULL) " + what, "Leave it out, or name an environment with --container NAME."); };
  if (!version.empty()) refuse("has no version: '@" + printable(version, 60) + "'");
  if (flag(body, "privileged").value_or(false)) refuse("cannot be privileged: it has the rights of its user on the node");
  if (field(body, "additional_mounts") && !texts(body, "additional_mounts").empty()) refuse("has no mounts: it sees the node as it is");
}

}  // namespace

host::Submission parse_submission(const json& body, const Config& config) {
  host::Submission out;
  auto type = text(body, "task_type", "command");
  if (type != "command") throw InvalidInput("task_type '" + printable(type) + "' is not supported by this host", "There are 'command' and, with POST /submit, 'vps'.");
  auto& spec = out.spec;
  spec.max_output_bytes = config.tasks.max_output;
  spec.command = text(body, "command", "");
  if (trim(spec.command).empty()) throw InvalidInput("field 'command' is empty: there is nothing to run");
  spec.arguments = texts(body, "arguments");
  // No program can be given one: what stands behind it would be lost on the way.
  const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (has_nul(spec.command)) wrong("command", "a text without NUL bytes");
  if (std::any_of(spec.arguments.begin(), spec.arguments.end(), has_nul)) wrong("arguments", "texts without NUL bytes");
  spec.name = name_of(body);
  spec.working_dir = working_dir_of(body, spec.working_dir);
  spec.env = variables(body);
  spec.cores = static_cast<int>(number(body, "required_cores", 1, 100000));
  spec.exclusive = flag(body, "exclusive").value_or(false);
  if (spec.exclusive && spec.cores == 0) throw InvalidInput("field 'exclusive' needs 'required_cores' of 1 or more", "They are the CPUs that it gets for itself.");
  spec.memory_bytes = number(body, "required_memory_bytes", 0, 1ull << 50);
  if (spec.memory_bytes > 0 && spec.memory_bytes < (6u << 20)) throw InvalidInput("required_memory_bytes is too small", "Docker's minimum is 6 MiB.");
  spec.registry_image = trim(text(body, "registry_image", ""));
  if (spec.registry_image.empty()) spec.environment = text(body, "container_name", config.docker.default_container_name);
  else docker::Reference::parse(spec.registry_image);  // what cannot be one is refused here
  if (spec.registry_image.size() > kMaxReference) wrong("registry_image", "at most 512 bytes long");
  if (const size_t at = spec.environment.find('@'); at != std::string::npos) {  // NAME@VERSION
    out.version = spec.environment.substr(at + 1);
    spec.environment.resize(at);
    if (out.version.empty()) throw InvalidInput("field 'container_name' names no version after '@'", "Write NAME, or NAME@VERSION as `hakuriver.docker versions NAME` shows them.");
  }
  if (spec.runs_on_host()) {
    refuse_container_fields(body, out.version);
  } else {
    spec.privileged = flag(body, "privileged").value_or(config.docker.tasks_privileged);
    auto mounts = field(body, "additional_mounts") ? texts(body, "additional_mounts") : config.docker.additional_mounts;
    for (const auto& mount : mounts) spec.mounts.push_back(MountSpec::parse(mount));
  }

  out.may_wait = !flag(body, "no_wait").value_or(false);
  spec.priority = priority_of(body);
  spec.retries = static_cast<int>(number(body, "retries", 0, 1000));
  spec.time_limit = seconds_of(body, "time_limit_seconds", spec.time_limit, kMaxTimeLimit);
  spec.stop_signal = parse_stop_signal(text(body, "stop_signal", spec.stop_signal));
  spec.stop_grace = seconds_of(body, "stop_grace_seconds", spec.stop_grace, kMaxStopGrace);
  spec.lease = lease_of(body, config.timing);
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
