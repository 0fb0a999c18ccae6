// Submitting a task: the flat form of `client`, and `task submit`.
#include <algorithm>

#include "applets/api_client.hpp"
#include "applets/exit_codes.hpp"
#include "applets/follow.hpp"
#include "applets/task_commands.hpp"
#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/task.hpp"

namespace riverbox::applets {

namespace {

std::int64_t whole_number(const char* option, const std::string& text) {
  if (const auto value = parse_i64(text)) return *value;
  throw UsageError(std::string(option) + ": '" + text + "' is no whole number.");
}

Json environment_variables(const Arguments& arguments) {
  Json variables = Json::object();
  for (const std::string& item : arguments.all("--env")) {
    const size_t equals = item.find('=');
    const std::string key(trim(std::string_view(item).substr(0, equals)));
    if (equals == std::string::npos || key.empty()) throw UsageError("--env: '" + item + "' is not KEY=VALUE.", "Example: --env OMP_NUM_THREADS=4");
    variables[key] = item.substr(equals + 1);
  }
  return variables;
}

void add_targets(Json& body, const Arguments& arguments) {
  body["targets"] = nullptr;
  body["required_gpus"] = nullptr;
  const std::vector<std::string> words = arguments.all("--target");
  if (words.empty()) return;
  Json targets = Json::array(), gpus = Json::array();
  bool any_gpu = false;
  for (const std::string& word : words) {
    Target target = option_value("--target", [&word] { return Target::parse(word); });
    gpus.push_back(target.gpus);
    any_gpu = any_gpu || !target.gpus.empty();
    target.gpus.clear();
    targets.push_back(target.str());
  }
  body["targets"] = std::move(targets);
  if (any_gpu) body["required_gpus"] = std::move(gpus);
}

std::vector<TaskId> submitted_ids(const Json& answer) {
  std::vector<TaskId> ids;
  if (answer.is_object() && answer.contains("task_ids"))
    for (const Json& id : answer["task_ids"]) ids.push_back(TaskId::parse(id.is_string() ? id.get<std::string>() : id.dump()));
  if (ids.empty()) throw HostRefusal(200, "the host accepted the submission but named no task.");
  return ids;
}

std::string id_list(const std::vector<TaskId>& ids) {
  std::vector<std::string> words;
  for (const TaskId id : ids) words.push_back(id.str());
  return (ids.size() == 1 ? "task " : "tasks ") + join(words, ", ");
}

// " to node1" or that it waits, where the host says so.
std::string destination(const Json& answer, size_t tasks) {
  if (tasks != 1) return {};
  if (answer.contains("waiting")) return ", and waits for its turn";
  if (!answer.contains("assigned_node") || !answer["assigned_node"].is_object()) return {};
  return " to " + printable(text_of(answer["assigned_node"], "hostname", "a node"));
}

// True if a target got no task; which and why is told.
bool tell_failed_targets(const Arguments& arguments, const Json& answer) {
  if (!answer.contains("failed_targets") || !answer["failed_targets"].is_array()) return false;
  for (const Json& failed : answer["failed_targets"])
    write_err(arguments.full_name + ": no task for target " + printable(text_of(failed, "target")) + ": " +
              printable(text_of(failed, "reason")) + "\n");
  return !answer["failed_targets"].empty();
}

int wait_for(const Invocation& invocation, const Arguments& arguments, const ApiClient& api, const std::vector<TaskId>& ids) {
  const FollowResult result = follow_tasks({.url = api.url(), .token = api.token()}, ids);
  if (result.interrupted) {
    // The terminal has just shown ^C.
    std::string text = (stderr_is_terminal() ? "\n" : "") + arguments.full_name + ": detached; " + id_list(ids) +
                       (ids.size() == 1 ? " goes on.\n" : " go on.\n");
    for (const TaskId id : ids)
      text += "Follow again: " + invocation.typed("client") + " logs -f " + id.str() + "   End it: " + invocation.typed("client") +
              " kill " + id.str() + "\n";
    write_err(text);
    return kExitInterrupted;
  }
  int status = 0;
  for (const Json& task : result.tasks) {
    const std::string ending = ending_of(task);
    if (!ending.empty()) write_err(arguments.full_name + ": " + printable(ending, 2000) + "\n");
    if (status == 0) status = exit_status_of(task);
  }
  return status;
}

}  // namespace

std::vector<Option> submit_options() {
  return {
      {.names = "--target",
       .value = "NODE[:NUMA][::GPU,...]",
       .help = "where to run; repeat it for several nodes; without it the host chooses",
       .complete = "nodes"},
      {.names = "--container", .value = "NAME[@VERSION]", .help = "the environment to run in, the newest version or this one; NULL: on the node itself", .complete = "environments"},
      {.names = "--image", .value = "REFERENCE", .help = "an image that the node pulls from a registry, instead of an environment"},
      {.names = "--cores", .value = "N", .help = "cores to reserve (1); 0 = no limit"},
      {.names = "--exclusive", .help = "so many CPUs for itself, as --cores says"},
      {.names = "--memory", .value = "SIZE", .help = "memory limit: 512M, 4G, ..."},
      {.names = "--gpus", .value = "N", .help = "so many GPUs, whichever are free (with --target NODE::0,1: these)"},
      {.names = "--priority", .value = "N", .help = "from -1000 to 1000 (0); higher starts earlier"},
      {.names = "--after", .value = "TASK", .help = "start when this task has completed; repeatable", .complete = "tasks"},
      {.names = "--retry", .value = "N", .help = "try again so often, when it fails or its node is lost"},
      {.names = "--time", .value = "LIMIT", .help = "end it after so long: 90s, 30m, 2h, 1d12h, 12:30:00"},
      {.names = "--stop-signal", .value = "SIGNAL", .help = "what asks it to end (TERM): INT, USR1, ..."},
      {.names = "--grace", .value = "TIME", .help = "how long it may take to end then, before SIGKILL (10s)"},
      {.names = "--on-partition", .value = "keep|stop", .help = "when its node cannot reach the host: let it run on, or end it there", .complete = "keep|stop"},
      {.names = "--no-wait", .help = "refuse what cannot start now, instead of queueing it"},
      {.names = "--name", .value = "NAME", .help = "what you call it"},
      {.names = "--workdir", .value = "PATH", .help = "where in the container it starts (/shared)"},
      {.names = "--env", .value = "KEY=VALUE", .help = "an environment variable; repeatable"},
      {.names = "--mount", .value = "HOST:CONTAINER[:ro]", .help = "an extra mount; repeatable"},
      {.names = "--privileged", .help = "run the container privileged"},
      {.names = "--wait", .help = "print the output and exit with the task's code"},
      {.names = "--poll-interval", .value = "SECONDS", .help = "accepted for old scripts; nothing is polled", .hidden = true},
  };
}

Json submission(const Arguments& arguments) {
  if (arguments.tail.empty() || arguments.tail.front().empty())
    throw UsageError("which command shall the task run?",
                     "Example: " + arguments.full_name + " --container my-env -- python train.py\nSee '" + arguments.full_name + " --help'.");
  Json body;
  body["task_type"] = "command";
  body["command"] = arguments.tail.front();
  body["arguments"] = std::vector<std::string>(arguments.tail.begin() + 1, arguments.tail.end());
  add_workload(body, arguments);
  return body;
}

void add_workload(Json& body, const Arguments& arguments) {
  body["env_vars"] = environment_variables(arguments);
  if (const auto name = arguments.find("--name")) body["name"] = *name;
  if (const auto folder = arguments.find("--workdir")) body["working_dir"] = *folder;
  const std::string cores = arguments.value("--cores", "1");
  const auto core_count = parse_u64(cores);
  if (!core_count || *core_count > 1u << 20) throw UsageError("--cores: '" + cores + "' is no number of cores.");
  body["required_cores"] = *core_count;
  if (arguments.has("--exclusive")) body["exclusive"] = true;
  if (arguments.has("--exclusive") && *core_count == 0) throw UsageError("--exclusive: --cores 0 leaves nothing that it could have for itself.");
  if (const auto gpus = arguments.find("--gpus")) body["gpu_count"] = whole_number("--gpus", *gpus);
  if (const auto priority = arguments.find("--priority")) body["priority"] = whole_number("--priority", *priority);
  if (const auto retries = arguments.find("--retry")) body["retries"] = whole_number("--retry", *retries);
  if (const auto limit = arguments.find("--time")) body["time_limit_seconds"] = option_value("--time", [&limit] { return parse_duration(*limit); }).count();
  if (const auto signal = arguments.find("--stop-signal")) body["stop_signal"] = option_value("--stop-signal", [&signal] { return parse_stop_signal(*signal); });
  if (const auto grace = arguments.find("--grace")) body["stop_grace_seconds"] = option_value("--grace", [&grace] { return parse_duration(*grace); }).count();
  if (const auto policy = arguments.find("--on-partition")) {
    if (*policy != "keep" && *policy != "stop") throw UsageError("--on-partition: '" + *policy + "' is neither keep nor stop.");
    body["on_partition"] = *policy;
  }
  if (const auto after = arguments.all("--after"); !after.empty()) body["after"] = after;
  if (arguments.has("--no-wait")) body["no_wait"] = true;
  body["required_memory_bytes"] = nullptr;
  if (const auto memory = arguments.find("--memory"))
    body["required_memory_bytes"] = option_value("--memory", [&memory] { return parse_bytes(*memory); });
  add_targets(body, arguments);
  const auto container = arguments.find("--container");
  body["container_name"] = container ? Json(*container) : Json(nullptr);
  if (const auto image = arguments.find("--image")) body["registry_image"] = *image;
  body["privileged"] = arguments.has("--privileged") ? Json(true) : Json(nullptr);
  body["additional_mounts"] = nullptr;
  for (const std::string& mount : arguments.all("--mount"))
    body["additional_mounts"].push_back(option_value("--mount", [&mount] { return MountSpec::parse(mount).str(); }));
}

int submit(const Invocation& invocation, const Arguments& arguments) {
  const Json body = submission(arguments);
  ApiClient api(client_config(arguments));
  return tell_submitted(invocation, arguments, api, api.post("/api/submit", body));
}

int tell_submitted(const Invocation& invocation, const Arguments& arguments, const ApiClient& api, const Json& answer) {
  const int status = tell_failed_targets(arguments, answer) ? kExitRefused : 0;
  const std::vector<TaskId> ids = submitted_ids(answer);
  if (arguments.has("--wait")) {
    if (stderr_is_terminal()) write_err(id_list(ids) + " submitted" + destination(answer, ids.size()) + "; Ctrl-C detaches\n");
    const int waited = wait_for(invocation, arguments, api, ids);
    return waited != 0 ? waited : status;
  }
  if (arguments.has("--json") || !stdout_is_terminal()) {
    write_out(json_text(with_key_order(answer, {"message", "task_ids", "waiting", "assigned_node", "failed_targets"})));
    return status;
  }
  for (const TaskId id : ids)
    write_out("task " + id.str() + " submitted" + destination(answer, ids.size()) + "; follow with: " + invocation.typed("client") +
              " logs -f " + id.str() + "\n");
  if (ids.size() == 1 && answer.contains("waiting")) write_err("Why it waits: " + invocation.typed("task") + " explain " + ids.front().str() + "\n");
  return status;
}

}  // namespace riverbox::applets
