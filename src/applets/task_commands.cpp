#include "applets/task_commands.hpp"

#include "applets/api_client.hpp"
#include "applets/exit_codes.hpp"
#include "applets/follow.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::applets {

namespace {

bool wants_json(const Arguments& arguments) { return arguments.has("--json") || !stdout_is_terminal(); }

TaskId task_id(const Arguments& arguments) {
  try {
    return TaskId::parse(arguments.value("TASK"));
  } catch (const InvalidInput&) {
    throw UsageError("'" + arguments.value("TASK") + "' is no task id.", "Task ids are numbers, such as 7265342119845888000.");
  }
}

int print(const Json& value) {
  write_out(json_text(value));
  return 0;
}

int print_message(const Arguments& arguments, const Json& answer) {
  if (wants_json(arguments)) return print(with_key_order(answer, {"message"}));
  write_out(printable(text_of(answer, "message", "Done."), 2000) + "\n");
  return 0;
}

Colour colour_of_state(const std::string& status) {
  if (status == "completed" || status == "running" || status == "online") return Colour::green;
  if (status == "failed" || status == "killed_oom" || status == "lost" || status == "offline") return Colour::red;
  if (status == "killed" || status == "paused" || status == "syncing") return Colour::yellow;
  return Colour::none;
}

// "python train.py": what the task runs, as one would type it.
std::string command_line_of(const Json& task) {
  std::string line = text_of(task, "command", "");
  if (task.contains("arguments") && task["arguments"].is_array())
    for (const Json& word : task["arguments"])
      if (word.is_string()) line += " " + shell_quoted(word.get<std::string>());
  return line;
}

std::string short_time(const Json& task, std::string_view key) {
  const std::string time = text_of(task, key);
  return time.size() > 19 && time[10] == 'T' ? time.substr(0, 10) + " " + time.substr(11, 8) : time;
}

std::string percent(const Json& object, std::string_view key) {
  const auto it = object.find(std::string(key));
  if (it == object.end() || !it->is_number()) return "-";
  return std::to_string(static_cast<int>(it->get<double>() + 0.5)) + " %";
}

std::string memory_of(const Json& node) {
  const auto used = node.find("memory_used_bytes"), total = node.find("memory_total_bytes");
  if (used == node.end() || total == node.end() || !used->is_number_unsigned() || !total->is_number_unsigned()) return "-";
  return human_bytes(used->get<std::uint64_t>()) + " of " + human_bytes(total->get<std::uint64_t>());
}

}  // namespace

int show_status(const Invocation&, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json task = api.get("/api/status/" + task_id(arguments).str());
  if (wants_json(arguments)) return print(task);
  const auto line = [](const std::string& name, const std::string& value) {
    write_out(name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + printable(value, 2000) + "\n");
  };
  line("task", text_of(task, "task_id"));
  line("status", text_of(task, "status"));
  line("command", command_line_of(task));
  line("node", text_of(task, "assigned_node"));
  const std::string version = text_of(task, "version", "");
  line("environment", text_of(task, "container_name") + (version.empty() ? "" : "@" + version));
  line("exit code", text_of(task, "exit_code"));
  if (!text_of(task, "error_message", "").empty()) line("message", text_of(task, "error_message"));
  line("submitted", short_time(task, "submitted_at"));
  line("started", short_time(task, "started_at"));
  line("completed", short_time(task, "completed_at"));
  line("stdout", text_of(task, "stdout_path"));
  line("stderr", text_of(task, "stderr_path"));
  return 0;
}

int explain_task(const Invocation&, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json answer = api.get("/api/tasks/" + task_id(arguments).str() + "/explain");
  if (wants_json(arguments)) return print(answer);
  const std::string node = text_of(answer, "node", ""), message = text_of(answer, "message", "");
  if (answer.contains("after")) {
    Table table({"IT FOLLOWS", "STATUS"});
    for (const Json& task : answer["after"]) table.add({text_of(task, "task_id"), {text_of(task, "status"), colour_of_state(text_of(task, "status"))}});
    write_out(table.render(stdout_has_colours()));
    return 0;
  }
  if (!answer.contains("reasons")) {
    write_out("It is " + printable(text_of(answer, "status")) + (message.empty() ? "" : " (" + printable(message, 2000) + ")") + ".\n");
    if (!node.empty()) write_out("Its node is " + printable(node) + ". " + printable(text_of(answer, "placement", ""), 2000) + "\n");
    return 0;
  }
  const std::string kept = text_of(answer, "kept_node", "");
  write_out("It waits, as number " + text_of(answer, "position") + " of the queue." + (kept.empty() ? "" : " " + printable(kept) + " is kept for it.") + "\n");
  Table table({"NODE", "WHY NOT NOW"});
  for (const Json& reason : answer["reasons"]) table.add({text_of(reason, "node"), text_of(reason, "reason")});
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int kill_task(const Invocation&, const Arguments& arguments) {
  const TaskId id = task_id(arguments);
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post("/api/kill/" + id.str()));
}

int command_task(const Invocation&, const Arguments& arguments) {
  const std::string action = arguments.value("ACTION");
  if (action != "pause" && action != "resume") throw UsageError("'" + action + "' is neither pause nor resume.");
  const TaskId id = task_id(arguments);
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post("/api/command/" + id.str() + "/" + action));
}

int show_stream(const Arguments& arguments, const std::string& stream) {
  const TaskId id = task_id(arguments);
  ApiClient api(client_config(arguments));
  api.copy_text("/api/tasks/" + id.str() + "/" + stream, write_out);
  return 0;
}

int show_logs(const Invocation& invocation, const Arguments& arguments) {
  const TaskId id = task_id(arguments);
  const Config config = client_config(arguments);
  ApiClient api(config);
  const Json task = api.get("/api/status/" + id.str());  // an unknown task is told as such
  if (!arguments.has("--follow")) {
    // A task that has not run yet has no files; that is no error.
    const auto copy = [&](const char* stream, void (*sink)(std::string_view)) {
      try {
        api.copy_text("/api/tasks/" + id.str() + "/" + stream, sink);
      } catch (const HostRefusal& refusal) {
        if (refusal.http_status() != 404) throw;
      }
    };
    copy("stdout", write_out);
    copy("stderr", write_err);
    return 0;
  }
  const FollowResult result = follow_tasks({.url = api.url(), .token = api.token()}, {id});
  if (result.interrupted) return kExitInterrupted;
  const std::string ending = ending_of(result.tasks.at(0));
  if (!ending.empty()) write_err(arguments.full_name + ": " + printable(ending, 2000) + "\n");
  return 0;
}

int list_tasks(const Invocation& invocation, const Arguments& arguments) {
  std::string query;
  for (const auto& [option, key] : {std::pair{"--status", "status"}, std::pair{"--limit", "limit"}})
    if (const auto value = arguments.find(option)) query += (query.empty() ? "?" : "&") + std::string(key) + "=" + percent_encoded(*value);
  ApiClient api(client_config(arguments));
  const Json tasks = api.get("/api/tasks" + query);
  if (wants_json(arguments)) return print(tasks);
  if (tasks.empty()) {
    write_err("No tasks. Submit one: " + invocation.typed("client") + " --wait -- COMMAND\n");
    return 0;
  }
  Table table({"TASK", "STATUS", "NODE", "ENVIRONMENT", "SUBMITTED", "COMMAND"});
  for (const Json& task : tasks) {
    const std::string status = text_of(task, "status"), command = command_line_of(task);
    table.add({text_of(task, "task_id"), {status, colour_of_state(status)}, text_of(task, "assigned_node"), text_of(task, "container_name"),
               short_time(task, "submitted_at"), command.size() > 60 ? command.substr(0, complete_utf8_prefix(command.substr(0, 57))) + "..." : command});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int list_nodes(const Invocation& invocation, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json nodes = api.get("/api/nodes");
  if (wants_json(arguments)) return print(nodes);
  if (nodes.empty()) {
    write_err("No nodes yet. On each machine that shall run tasks: riverbox runner --host " + api.url() + " --token TOKEN\n");
    return 0;
  }
  Table table({"NODE", "STATUS", "CORES", "FREE", "GPUS", "LAST HEARTBEAT"});
  for (const size_t column : {2u, 3u, 4u}) table.align_right(column);
  for (const Json& node : nodes) {
    const std::string status = text_of(node, "status");
    const auto gpus = node.find("gpu_info");
    table.add({text_of(node, "hostname"), {status, colour_of_state(status)}, text_of(node, "total_cores"), text_of(node, "available_cores"),
               gpus != node.end() && gpus->is_array() ? std::to_string(gpus->size()) : std::string("-"), short_time(node, "last_heartbeat")});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int show_health(const Invocation&, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const auto host = arguments.find("NODE");
  const Json health = api.get("/api/health" + (host ? "?hostname=" + percent_encoded(*host) : std::string()));
  if (wants_json(arguments)) return print(health);
  // nodes: the newest sample, a list of nodes; classic hosts send a list of samples.
  Json nodes = health.contains("nodes") ? health["nodes"] : health;
  if (nodes.is_array() && !nodes.empty() && nodes.back().is_array()) nodes = Json(nodes.back());
  if (nodes.is_object()) nodes = Json::array({nodes});
  Table table({"NODE", "STATUS", "CPU", "MEMORY", "", "TEMPERATURE"});
  for (const size_t column : {2u, 3u}) table.align_right(column);
  for (const Json& node : nodes) {
    if (!node.is_object()) continue;
    const std::string status = text_of(node, "status"), degrees = text_of(node, "current_max_temp");
    table.add({text_of(node, "hostname"), {status, colour_of_state(status)}, percent(node, "cpu_percent"), percent(node, "memory_percent"),
               memory_of(node), degrees == "-" ? degrees : degrees + " C"});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

Argument task_argument() { return {.name = "TASK", .help = "the id of the task", .complete = "tasks"}; }

Command status_subcommand() {
  return {.name = "status",
          .summary = "Show a task",
          .examples = "{client} status 7265342119845888000\n{client} status 7265342119845888000 --json | jq -r .status",
          .arguments = {task_argument()}};
}

Command kill_subcommand() {
  return {.name = "kill", .summary = "End a task", .examples = "{client} kill 7265342119845888000", .arguments = {task_argument()}};
}

Command command_subcommand() {
  return {.name = "command",
          .summary = "Pause or resume a task",
          .examples = "{client} command 7265342119845888000 pause\n{client} command 7265342119845888000 resume",
          .arguments = {task_argument(), {.name = "ACTION", .help = "pause or resume", .complete = "pause|resume"}}};
}

Command logs_subcommand() {
  return {.name = "logs",
          .summary = "Print a task's output",
          .examples = "{client} logs 7265342119845888000\n{client} logs -f 7265342119845888000",
          .details = "Prints the task's stdout on stdout and its stderr on stderr, what there is so far.",
          .arguments = {task_argument()},
          .options = {{.names = "-f,--follow", .help = "go on until the task ends"}}};
}

}  // namespace riverbox::applets
