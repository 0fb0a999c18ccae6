// riverbox node: the machines that run tasks.
#include <algorithm>
#include <chrono>
#include <thread>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/task_commands.hpp"
#include "applets/views.hpp"
#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

constexpr std::chrono::seconds kLookAgain{1};

std::string path_of(const Arguments& arguments, const char* verb = "") { return "/api/nodes/" + path_segment(arguments.value("NODE")) + verb; }

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

Table::Cell status_of(const Json& node) {
  const std::string status = text_of(node, "status");
  const bool draining = node.contains("draining") && node["draining"] == true;
  return {status + (draining ? ", draining" : ""), draining ? Colour::yellow : colour_of_state(status)};
}

size_t gpus_of(const Json& node) { return node.contains("gpu_info") && node["gpu_info"].is_array() ? node["gpu_info"].size() : 0; }

// "0, 1, 5"
std::string number_list(const Json& numbers) {
  std::vector<std::string> words;
  for (const Json& number : numbers) words.push_back(number.dump());
  return join(words, ", ");
}

Argument node_argument() { return {.name = "NODE", .help = "the name of the node", .complete = "nodes"}; }

int show_node(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json node = api.get(path_of(arguments));
  if (wants_json(arguments)) return print(node);
  const auto bytes = [&](const char* key) { return node.contains(key) && node[key].is_number_unsigned() ? human_bytes(node[key].get<std::uint64_t>()) : std::string("-"); };
  print_field("node", text_of(node, "hostname"));
  print_field("status", status_of(node).text);
  print_field("last seen", short_time(node, "last_heartbeat"));
  print_field("cores", text_of(node, "cores_in_use") + " of " + text_of(node, "total_cores") + " in use");
  if (node.contains("exclusive_cpus") && !node["exclusive_cpus"].empty()) print_field("exclusive", "CPUs " + number_list(node["exclusive_cpus"]));
  print_field("memory", bytes("memory_promised_bytes") + " of " + bytes("memory_total_bytes") + " promised to tasks");
  if (const size_t gpus = gpus_of(node)) print_field("GPUs", std::to_string(node["gpus_in_use"].size()) + " of " + std::to_string(gpus) + " in use");
  print_field("riverbox", text_of(node, "runner_version"));
  std::string environments;
  for (const Json& name : node["environments"]) environments += (environments.empty() ? "" : ", ") + name.get<std::string>();
  print_field("environments", environments.empty() ? "-" : environments);
  if (node["tasks"].empty()) return 0;
  write_out("\n");
  write_out(table_of_tasks(node["tasks"]).render(stdout_has_colours()));
  return 0;
}

// With --wait until nothing runs there any more.
int drain(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json answer = api.post(path_of(arguments, "/drain"));
  const int shown = print_message(arguments, answer);
  if (!arguments.has("--wait")) return shown;
  for (;;) {
    const Json node = api.get(path_of(arguments));
    const auto& tasks = node["tasks"];
    if (std::all_of(tasks.begin(), tasks.end(), [](const Json& task) { return text_of(task, "status") == "pending"; })) return 0;
    std::this_thread::sleep_for(kLookAgain);
  }
}

int remove(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post(path_of(arguments, "/remove"), {{"force", arguments.has("--force")}}));
}

bool is_of_this_machine(const std::string& url) {
  const std::string host = url.substr(std::min(url.find("://"), url.size()));
  return url.starts_with("unix:") || host.starts_with("://127.") || host.starts_with("://localhost") || host.starts_with("://[::1]");
}

// The command itself is what goes to stdout: `ssh node1 "$(riverbox node join-command)"`.
int join_command(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  Json body = Json::object();
  if (const auto expires = arguments.find("--expires")) body["expires_seconds"] = option_value("--expires", [&expires] { return parse_duration(*expires); }).count();
  const Json made = api.post("/api/nodes/invite", body);
  if (arguments.has("--json")) return print(made);
  // The address that works here works elsewhere, unless it means this machine.
  const std::string url = is_of_this_machine(api.url()) ? text_of(made, "host_url", api.url()) : api.url();
  write_out("riverbox runner join --host " + url + " " + text_of(made, "token") + "\n");
  if (is_of_this_machine(url))
    write_err("Other machines do not reach this address: set [network] host_reachable_address, or put the host's name into the command.\n");
  write_err("Run it on each machine that is to become a node, as the user whose Docker it is to use, within " +
            human_duration(body.contains("expires_seconds") ? std::chrono::seconds(body["expires_seconds"].get<std::int64_t>()) : std::chrono::hours(1)) +
            ". Each gets an identity of its own; what starts the runner afterwards needs no token.\n");
  return 0;
}

}  // namespace

int list_nodes(const Invocation& invocation, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json nodes = api.get("/api/nodes");
  if (wants_json(arguments)) return print(nodes);
  if (nodes.empty()) {
    write_err("No nodes yet. For each machine that shall run tasks: riverbox node join-command\n");
    return 0;
  }
  Table table({"NODE", "STATUS", "CORES", "FREE", "GPUS", "LAST HEARTBEAT"});
  for (const size_t column : {2u, 3u, 4u}) table.align_right(column);
  for (const Json& node : nodes) {
    table.add({text_of(node, "hostname"), status_of(node), text_of(node, "total_cores"), text_of(node, "available_cores"), std::to_string(gpus_of(node)),
               short_time(node, "last_heartbeat")});
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

const Command& node_command() {
  static const Command command{
      .name = "node",
      .examples = "{node} list\n"
                  "# before maintenance: let what runs there end, start nothing new\n"
                  "{node} drain node1 --wait && ssh node1 reboot\n"
                  "{node} resume node1\n"
                  "# a new machine\n"
                  "ssh node2 \"$({node} join-command) && systemctl enable --now riverbox-runner\"",
      .options = client_options(),
      .subcommands = {{.name = "list", .summary = "List the nodes", .examples = "{node} list"},
                      {.name = "show",
                       .summary = "Show a node: what it has, what runs there",
                       .examples = "{node} show node1",
                       .arguments = {node_argument()}},
                      {.name = "drain",
                       .summary = "Start nothing new on a node",
                       .examples = "{node} drain node1\n{node} drain node1 --wait",
                       .details = "What runs there goes on. Tasks that name the node wait until `resume`.",
                       .arguments = {node_argument()},
                       .options = {{.names = "--wait", .help = "until nothing runs there any more"}}},
                      {.name = "resume", .summary = "Let a drained node take tasks again", .examples = "{node} resume node1", .arguments = {node_argument()}},
                      {.name = "rm",
                       .summary = "Forget a node that is gone",
                       .examples = "{node} rm node1",
                       .details = "A node that is connected is not removed. If its runner comes back, the node does, too.",
                       .arguments = {node_argument()},
                       .options = {{.names = "--force", .help = "also when it has unfinished tasks: those that wait for it fail, the others are called lost"}}},
                      {.name = "join-command",
                       .summary = "Print the command with which a machine becomes a node",
                       .examples = "{node} join-command\n{node} join-command --expires 15m",
                       .details = "What it prints holds a token that is worth nothing else, and nothing after its time.",
                       .options = {{.names = "--expires", .value = "TIME", .help = "it is valid for so long, such as 15m (1h)"}}},
                      {.name = "health",
                       .summary = "Show how busy the nodes are",
                       .examples = "{node} health\n{node} health node1",
                       .arguments = {{.name = "NODE", .help = "only this one", .complete = "nodes", .required = false}}}},
  };
  return command;
}

int run_node(const Invocation& invocation) {
  const Arguments arguments = parse(node_command(), invocation);
  const std::string& name = arguments.command->name;
  if (name == "list") return list_nodes(invocation, arguments);
  if (name == "health") return show_health(invocation, arguments);
  if (name == "show") return show_node(arguments);
  if (name == "drain") return drain(arguments);
  if (name == "resume") return print_message(arguments, ApiClient(client_config(arguments)).post(path_of(arguments, "/resume")));
  if (name == "rm") return remove(arguments);
  if (name == "join-command") return join_command(arguments);
  throw InternalError("no function for " + name);
}

}  // namespace riverbox::applets
