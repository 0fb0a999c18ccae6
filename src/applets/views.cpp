#include "applets/views.hpp"

#include "base/strings.hpp"

namespace riverbox::applets {

bool wants_json(const Arguments& arguments) { return arguments.has("--json") || !stdout_is_terminal(); }

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

Table table_of_tasks(const Json& tasks) {
  Table table({"TASK", "STATUS", "NODE", "ENVIRONMENT", "SUBMITTED", "COMMAND"});
  for (const Json& task : tasks) {
    const std::string status = text_of(task, "status"), command = command_line_of(task);
    table.add({text_of(task, "task_id"), {status, colour_of_state(status)}, text_of(task, "assigned_node"), text_of(task, "container_name", text_of(task, "registry_image")),
               short_time(task, "submitted_at"), command.size() > 60 ? command.substr(0, complete_utf8_prefix(command.substr(0, 57))) + "..." : command});
  }
  return table;
}

void print_field(std::string_view name, const std::string& value) {
  constexpr size_t kWidth = 14;
  write_out(std::string(name) + std::string(name.size() < kWidth ? kWidth - name.size() : 1, ' ') + printable(value, 2000) + "\n");
}

}  // namespace riverbox::applets
