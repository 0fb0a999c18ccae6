// riverbox node: the machines that run tasks.
#include "applets/commands.hpp"
#include "applets/task_commands.hpp"
#include "base/error.hpp"

namespace riverbox::applets {

const Command& node_command() {
  static const Command command{
      .name = "node",
      .examples = "{node} list\n{node} health node1",
      .options = client_options(),
      .subcommands = {{.name = "list", .summary = "List the nodes", .examples = "{node} list"},
                      {.name = "health",
                       .summary = "Show how busy the nodes are",
                       .examples = "{node} health\n{node} health node1",
                       .arguments = {{.name = "NODE", .help = "only this one", .complete = "nodes", .required = false}}}},
  };
  return command;
}

int run_node(const Invocation& invocation) {
  const Arguments arguments = parse(node_command(), invocation);
  if (arguments.command->name == "health") return show_health(invocation, arguments);
  return list_nodes(invocation, arguments);
}

}  // namespace riverbox::applets
