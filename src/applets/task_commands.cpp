#include "applets/task_commands.hpp"

#include "applets/api_client.hpp"
#include "applets/exit_codes.hpp"
#include "applets/follow.hpp"
#include "applets/terminal.hpp"
#include "applets/views.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "net/http.hpp"

namespace riverbox::applets {

namespace {

TaskId task_id(const Arguments& arguments) {
  try {
    return TaskId::parse(arguments.value("TASK"));
  } catch (const InvalidInput&) {
    throw UsageError("'" + arguments.value("TASK") + "' is no task id.", "Task ids are numbers, such as 7265342119845888000.");
  }
}

std::string tail_query(const Arguments& arguments) {
  const auto lines = arguments.find("--tail");
  if (!lines) return {};
  if (!parse_u64(*lines)) throw UsageError("'" + *lines + "' is no number of lines.", "Example: --tail 20");
  return "?tail=" + *lines;
}

// Prints what there is of both streams, or its last lines. Returns how far that is, as far as the host says it.
OutputPosition copy_output(ApiClient& api, TaskId id, const std::string& query) {
  OutputPosition end;
  for (const bool is_stderr : {false, true}) {
    std::uint64_t copied = 0;
    try {
      const net::Response head = api.copy_text("/api/tasks/" + id.str() + (is_stderr ? "/stderr" : "/stdout") + query, [&](std::string_view bytes) {
        copied += bytes.size();
        is_stderr ? write_err(bytes) : write_out(bytes);
      });
      const auto number = [&head](std::string_view name) {
        for (const auto& [key, value] : head.headers)
          if (key == name) return parse_u64(value).value_or(0);
        return 0ull;
      };
      end.attempt = static_cast<std::int64_t>(number("riverbox-attempt"));
      end.bytes[is_stderr] = number("riverbox-offset") + copied;
    } catch (const HostRefusal& refusal) {
      if (refusal.http_status() != 404) throw;  // a task that has not run yet has no files; that is no error
    }
  }
  return end.attempt > 0 ? end : OutputPosition{};
}

}  // namespace

int show_status(const Invocation&, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json task = api.get("/api/status/" + task_id(arguments).str());
  if (wants_json(arguments)) return print(task);
  print_field("task", text_of(task, "task_id"));
  if (const std::string name = text_of(task, "name", ""); !name.empty()) print_field("name", name);
  print_field("status", text_of(task, "status"));
  print_field("command", command_line_of(task));
  print_field("node", text_of(task, "assigned_node"));
  const std::string version = text_of(task, "version", "");
  const std::string image = text_of(task, "registry_image", "");
  if (image.empty()) print_field("environment", text_of(task, "container_name") + (version.empty() ? "" : "@" + version));
  else print_field("image", image);
  print_field("exit code", text_of(task, "exit_code"));
  if (!text_of(task, "error_message", "").empty()) print_field("message", text_of(task, "error_message"));
  print_field("submitted", short_time(task, "submitted_at"));
  print_field("started", short_time(task, "started_at"));
  print_field("completed", short_time(task, "completed_at"));
  print_field("stdout", text_of(task, "stdout_path"));
  print_field("stderr", text_of(task, "stderr_path"));
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
  return print_message(arguments, api.post("/api/kill/" + id.str() + (arguments.has("--batch") ? "?batch" : "")));
}

int rerun_task(const Invocation& invocation, const Arguments& arguments) {
  const TaskId id = task_id(arguments);
  ApiClient api(client_config(arguments));
  return tell_submitted(invocation, arguments, api, api.post("/api/tasks/" + id.str() + "/rerun"));
}

int watch_task(const Invocation&, const Arguments& arguments) {
  const TaskId id = task_id(arguments);
  const ApiClient api(client_config(arguments));
  const FollowResult result = follow_tasks({.url = api.url(), .token = api.token(), .show_state = false, .show_output = false, .on_status = [](const Json& task) {
    const std::string node = text_of(task, "assigned_node", ""), message = text_of(task, "error_message", "");
    write_out(text_of(task, "status") + (node.empty() ? "" : " on " + printable(node)) + (message.empty() ? "" : " (" + printable(message, 2000) + ")") + "\n");
  }}, {id});
  return result.interrupted ? kExitInterrupted : exit_status_of(result.tasks.at(0));
}

int open_task_shell(const Arguments& arguments) {
  const std::string id = task_id(arguments).str();
  return run_terminal(arguments, "/api/tasks/" + id + "/terminal",
                      {.url = {}, .token = {}, .name = "task " + id, .when_missing = "A host of an older version opens no terminals in tasks. The tasks there are: riverbox task list."});
}

int command_task(const Arguments& arguments, const std::string& action) {
  if (action != "pause" && action != "resume") throw UsageError("'" + action + "' is neither pause nor resume.");
  const TaskId id = task_id(arguments);
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post("/api/command/" + id.str() + "/" + action));
}

int show_stream(const Arguments& arguments, const std::string& stream) {
  const TaskId id = task_id(arguments);
  const std::string query = tail_query(arguments);
  ApiClient api(client_config(arguments));
  api.copy_text("/api/tasks/" + id.str() + "/" + stream + query, write_out);
  return 0;
}

int show_logs(const Invocation& invocation, const Arguments& arguments) {
  const TaskId id = task_id(arguments);
  const std::string query = tail_query(arguments);
  ApiClient api(client_config(arguments));
  const Json task = api.get("/api/status/" + id.str());  // an unknown task is told as such
  OutputPosition from;
  if (!arguments.has("--follow") || !query.empty()) from = copy_output(api, id, query);
  if (!arguments.has("--follow")) return 0;
  const FollowResult result = follow_tasks({.url = api.url(), .token = api.token(), .from = from}, {id});
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
  write_out(table_of_tasks(tasks).render(stdout_has_colours()));
  return 0;
}

Option tail_option() { return {.names = "--tail", .value = "N", .help = "only the last N lines of what there is so far"}; }

Argument task_argument() { return {.name = "TASK", .help = "the id of the task", .complete = "tasks"}; }

Command status_subcommand() {
  return {.name = "status",
          .summary = "Show a task",
          .examples = "{client} status 7265342119845888000\n{client} status 7265342119845888000 --json | jq -r .status",
          .arguments = {task_argument()}};
}

Command kill_subcommand() {
  return {.name = "kill",
          .summary = "End a task",
          .examples = "{client} kill 7265342119845888000\n# all that were submitted with it\n{client} kill --batch 7265342119845888000",
          .details = "It gets SIGTERM, and SIGKILL ten seconds later. A task that waits never starts.",
          .arguments = {task_argument()},
          .options = {{.names = "--batch", .help = "the whole batch that the task is of"}}};
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
          .examples = "{client} logs 7265342119845888000\n{client} logs -f --tail 20 7265342119845888000",
          .details = "Prints the task's stdout on stdout and its stderr on stderr, what there is so far.",
          .arguments = {task_argument()},
          .options = {{.names = "-f,--follow", .help = "go on until the task ends"}, tail_option()}};
}

}  // namespace riverbox::applets
