// riverbox task: the same as `client`, with a subcommand for everything.
#include "applets/commands.hpp"
#include "applets/task_commands.hpp"
#include "applets/terminal.hpp"
#include "base/error.hpp"

namespace riverbox::applets {

const Command& task_command() {
  static const Command command{
      .name = "task",
      .examples = "{task} submit --container my-env --wait -- python /shared/train.py\n"
                  "{task} list --status running\n"
                  "{task} stdout 7265342119845888000 > output.txt",
      .details = "Submits tasks, lists them, prints their output, pauses and ends them.",
      .options = client_options(),
      .subcommands = {{.name = "submit",
                       .summary = "Submit a command as a task",
                       .examples = "{task} submit --container my-env --wait -- python /shared/train.py\n"
                                   "{task} submit --target node1:0 --cores 8 --memory 16G --container my-env -- ./solve",
                       .details = "From COMMAND on (or after --) everything belongs to the command.",
                       .options = submit_options(),
                       .tail = "COMMAND [ARGS...]"},
                      {.name = "list",
                       .summary = "List the tasks, newest first",
                       .examples = "{task} list\n{task} list --status failed --limit 20",
                       .options = {{.names = "--status",
                                    .value = "STATE",
                                    .help = "only these: pending, running, completed, failed, ...",
                                    .complete = "pending|assigning|syncing|running|paused|completed|failed|killed|killed_oom|lost|stopped"},
                                   {.names = "--limit", .value = "N", .help = "at most so many"}}},
                      status_subcommand(),
                      {.name = "explain",
                       .summary = "Tell why a task waits, or where it is",
                       .examples = "{task} explain 7265342119845888000",
                       .arguments = {task_argument()}},
                      {.name = "watch",
                       .summary = "Tell what becomes of a task, until it ends",
                       .examples = "{task} watch 7265342119845888000 && echo done",
                       .details = "One line for each state. The exit status is the task's.",
                       .arguments = {task_argument()}},
                      {.name = "shell",
                       .summary = "Open a terminal in a running task",
                       .examples = "{task} shell 7265342119845888000\n"
                                   "# run commands without a terminal\n"
                                   "echo 'ps aux; nvidia-smi' | {task} shell 7265342119845888000",
                       .details = "Opens bash, or sh where there is no bash, in the container of the task, beside its command. Its exit\n"
                                  "status becomes ours. The shell ends with the task, and the task does not end with the shell.",
                       .arguments = {task_argument()},
                       .options = {detach_keys_option()}},
                      kill_subcommand(),
                      {.name = "pause", .summary = "Freeze a running task", .examples = "{task} pause 7265342119845888000", .arguments = {task_argument()}},
                      {.name = "resume", .summary = "Let a paused task go on", .examples = "{task} resume 7265342119845888000", .arguments = {task_argument()}},
                      {.name = "rerun",
                       .summary = "Submit the same once more",
                       .examples = "{task} rerun 7265342119845888000\n{task} rerun 7265342119845888000 --wait",
                       .details = "In the newest version of its environment, unless it was submitted for one: then in that.",
                       .arguments = {task_argument()},
                       .options = {{.names = "--wait", .help = "print the output and exit with the task's code"}}},
                      command_subcommand(), logs_subcommand(),
                      {.name = "stdout",
                       .summary = "Print a task's stdout",
                       .examples = "{task} stdout 7265342119845888000\n{task} stdout --tail 20 7265342119845888000",
                       .arguments = {task_argument()},
                       .options = {tail_option()}},
                      {.name = "stderr",
                       .summary = "Print a task's stderr",
                       .examples = "{task} stderr 7265342119845888000",
                       .arguments = {task_argument()},
                       .options = {tail_option()}}},
  };
  return command;
}

int run_task(const Invocation& invocation) {
  const Arguments arguments = parse(task_command(), invocation);
  const std::string& name = arguments.command->name;
  if (name == "submit") return submit(invocation, arguments);
  if (name == "list") return list_tasks(invocation, arguments);
  if (name == "status") return show_status(invocation, arguments);
  if (name == "explain") return explain_task(invocation, arguments);
  if (name == "shell") return open_task_shell(arguments);
  if (name == "kill") return kill_task(invocation, arguments);
  if (name == "watch") return watch_task(invocation, arguments);
  if (name == "pause" || name == "resume") return command_task(arguments, name);
  if (name == "rerun") return rerun_task(invocation, arguments);
  if (name == "command") return command_task(arguments, arguments.value("ACTION"));
  if (name == "logs") return show_logs(invocation, arguments);
  if (name == "stdout" || name == "stderr") return show_stream(arguments, name);
  throw InternalError("no function for " + name);
}

}  // namespace riverbox::applets
