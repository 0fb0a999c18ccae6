// riverbox client: the flat form "client --target NODE --container NAME -- COMMAND", and subcommands for what runs.
#include "applets/client.hpp"

#include "applets/commands.hpp"
#include "applets/task_commands.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

constexpr size_t kShortestTypingError = 5;

Command make_client_command() {
  Command command{
      .name = "client",
      .examples = "# run a command in an environment and wait for it\n"
                  "{client} --container my-env --wait -- python /shared/train.py --epochs 3\n"
                  "# on a chosen node: 8 cores of NUMA node 0; GPUs 0 and 1\n"
                  "{client} --target node1:0 --cores 8 --memory 16G --container my-env -- ./solve\n"
                  "{client} --target gpu-node::0,1 --container my-env -- python /shared/train_model.py\n"
                  "# a line for the shell\n"
                  "{client} --container my-env --wait -- 'make && make test; date'\n"
                  "# what runs, and what it says\n"
                  "{client} nodes\n"
                  "{client} logs -f 7265342119845888000",
      .details = "Submits COMMAND as a task. From its first word on (or after --) everything belongs to the command.",
      .options = submit_options(),
      .subcommands = {{.name = "nodes", .summary = "List the nodes", .examples = "{client} nodes"},
                      {.name = "health",
                       .summary = "Show how busy the nodes are",
                       .examples = "{client} health\n{client} health node1",
                       .arguments = {{.name = "NODE", .help = "only this one", .complete = "nodes", .required = false}}},
                      status_subcommand(), kill_subcommand(), command_subcommand(), logs_subcommand()},
      .tail = "COMMAND [ARGS...]",
  };
  for (Option& option : client_options()) command.options.push_back(std::move(option));
  return command;
}

// "client stauts 123" without any option is more likely a typing error than a program named stauts. Short words are left
// alone: stat, less and node are programs.
void refuse_misspelt_subcommand(const Arguments& arguments) {
  if (arguments.tail_marked || arguments.tail.empty() || arguments.tail.front().size() < kShortestTypingError) return;
  for (const Option& option : submit_options())
    if (arguments.has(option.long_name())) return;
  std::vector<std::string> names;
  for (const Command& sub : client_command().subcommands) names.push_back(sub.name);
  const std::string& word = arguments.tail.front();
  if (const auto right = nearest(word, names))
    throw UsageError("unknown command '" + word + "'. Did you mean '" + *right + "'?",
                     "To run a program of that name as a task: " + arguments.full_name + " -- " + shell_quoted(word) +
                         "\nSee '" + arguments.full_name + " --help'.");
}

}  // namespace

std::vector<std::string> modern_words(const std::vector<std::string>& words) {
  const Command& command = client_command();
  std::vector<std::string> out, subcommand;
  size_t i = 0;
  const auto next_value = [&](const std::string& word) -> std::vector<std::string> {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) return {word.substr(equals + 1)};
    if (i + 1 < words.size() && words[i + 1].rfind('-', 0) != 0) return {words[++i]};
    return {};
  };
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string name = word.substr(0, word.find('='));
    if (word == "--" || word.rfind('-', 0) != 0) break;
    if (subcommand.empty() && (name == "--list-nodes" || name == "--status" || name == "--kill" || name == "--health")) {
      subcommand.push_back(name == "--list-nodes" ? "nodes" : name.substr(2));
      if (name != "--list-nodes")
        for (std::string& value : next_value(word)) subcommand.push_back(std::move(value));
      continue;
    }
    out.push_back(word);
    for (const Option& option : command.options)
      if (option.long_name() == word && !option.value.empty() && i + 1 < words.size()) out.push_back(words[++i]);
  }
  for (std::string& word : subcommand) out.push_back(std::move(word));
  out.insert(out.end(), words.begin() + static_cast<long>(i), words.end());
  return out;
}

const Command& client_command() {
  static const Command command = make_client_command();
  return command;
}

int run_client(const Invocation& invocation) {
  const Arguments arguments = parse(client_command(), invocation, modern_words(invocation.args));
  const std::string& name = arguments.command->name;
  if (name == "nodes") return list_nodes(invocation, arguments);
  if (name == "health") return show_health(invocation, arguments);
  if (name == "status") return show_status(invocation, arguments);
  if (name == "kill") return kill_task(invocation, arguments);
  if (name == "command") return command_task(arguments, arguments.value("ACTION"));
  if (name == "logs") return show_logs(invocation, arguments);
  refuse_misspelt_subcommand(arguments);
  return submit(invocation, arguments);
}

}  // namespace riverbox::applets
