// riverbox vps: containers to live in (docs/vps.md).
#include <algorithm>
#include <iterator>

#include "applets/api_client.hpp"
#include "applets/classic_vps.hpp"
#include "applets/commands.hpp"
#include "applets/exit_codes.hpp"
#include "applets/ssh_access.hpp"
#include "applets/task_commands.hpp"
#include "applets/terminal.hpp"
#include "applets/views.hpp"
#include "applets/vps_commands.hpp"
#include "applets/vps_sharing.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/folders.hpp"

namespace riverbox::applets {

namespace {

// What a task has, too, and means the same.
std::vector<Option> create_options() {
  static constexpr std::string_view kShared[] = {"--target", "--container", "--image", "--cores", "--exclusive", "--memory", "--gpus", "--priority", "--no-wait", "--name", "--env", "--mount", "--privileged"};
  std::vector<Option> out;
  for (Option& option : submit_options())
    if (std::find(std::begin(kShared), std::end(kShared), option.names) != std::end(kShared)) out.push_back(std::move(option));
  for (Option& option : ssh_create_options()) out.push_back(std::move(option));
  return out;
}

}  // namespace

Argument a_vps() { return {.name = "VPS", .help = "its name or its id", .complete = "vps"}; }

std::string vps_path(const Arguments& arguments, std::string_view verb) {
  return "/api/vps/" + std::string(verb) + (verb.empty() ? "" : "/") + path_segment(arguments.value("VPS"));
}

namespace {

void keep_key(TaskId id, const std::string& key) {
  const auto file = generated_key(id);
  if (const auto error = os::make_private_folders(file.parent_path())) throw IoError("make the folder " + file.parent_path().string(), error.value());
  os::write_atomically(file, key, 0600);
  write_out("Its key is in " + file.string() + ", and nowhere else.\n");
}

int create_vps(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  Json wish;
  add_workload(wish, arguments);
  add_ssh(wish, arguments);
  const Json made = api.post("/api/vps/create", wish);
  if (wants_json(arguments)) return print(made);
  const std::string name = text_of(made, "name", text_of(made, "task_id"));
  write_out(text_of(made, "message") + "\n");
  write_out("VPS " + text_of(made, "task_id") + (made["name"].is_null() ? "" : " (" + printable(name) + ")") + "; a terminal in it: riverbox vps connect " + printable(name) + "\n");
  if (made.contains("ssh_private_key")) keep_key(TaskId::parse(text_of(made, "task_id")), text_of(made, "ssh_private_key"));
  if (wish.value("ssh_key_mode", "disabled") != "disabled") write_out("Log in to it: riverbox ssh " + printable(name) + "\n");
  return 0;
}

int list_vpses(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json all = api.get("/api/vps");
  if (wants_json(arguments)) return print(all);
  if (all.empty()) {
    write_err("There are no VPSs. Make one: riverbox vps create --container my-env --name my-box\n");
    return 0;
  }
  Table table({"VPS", "NAME", "STATUS", "NODE", "ENVIRONMENT", "CORES", "STARTED"});
  for (const Json& vps : all) {
    const std::string status = text_of(vps, "status");
    table.add({{text_of(vps, "task_id")}, {text_of(vps, "name")}, {status, colour_of_state(status)}, {text_of(vps, "assigned_node")},
               {text_of(vps, "docker_image_name")}, {text_of(vps, "required_cores")}, {short_time(vps, "started_at")}});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int show_vps(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json vps = api.get(vps_path(arguments));
  if (wants_json(arguments)) return print(vps);
  print_field("VPS", text_of(vps, "task_id"));
  print_field("name", text_of(vps, "name"));
  print_field("status", text_of(vps, "status"));
  if (const auto message = text_of(vps, "error_message", ""); !message.empty()) print_field("message", message);
  print_field("node", text_of(vps, "assigned_node"));
  print_field("environment", text_of(vps, "docker_image_name"));
  print_field("cores", text_of(vps, "required_cores"));
  print_field("SSH", text_of(vps, "ssh_key_mode", "disabled"));
  print_field("owner", text_of(vps, "owner"));
  if (const auto guests = guests_of(vps); !guests.empty()) print_field("shared with", guests);
  print_field("created", short_time(vps, "submitted_at"));
  print_field("started", short_time(vps, "started_at"));
  return 0;
}

int remove_vps(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  if (arguments.has("--force")) {
    try {
      api.post(vps_path(arguments, "stop"));
    } catch (const HostRefusal& refusal) {
      if (refusal.http_status() != 409) throw;  // it is stopped
    }
  }
  return print_message(arguments, api.post(vps_path(arguments, "remove")));
}

std::string action_of(const Arguments& arguments) {
  const std::string action = arguments.value("ACTION");
  if (action != "pause" && action != "resume") throw UsageError("'" + printable(action, 60) + "' is neither pause nor resume.");
  return action;
}

int command_vps(const Arguments& arguments, const std::string& verb) {
  ApiClient api(client_config(arguments));
  if (verb == "start" || verb == "restart") return print_message(arguments, api.post(vps_path(arguments, verb), beginning_of(arguments), kBeginsAgain));
  if (verb == "stop") return print_message(arguments, api.post(vps_path(arguments, verb)));
  const std::string id = text_of(api.get(vps_path(arguments)), "task_id");
  return print_message(arguments, api.post("/api/command/" + id + "/" + verb));
}

Command make_vps_command() {
  Command command = with_snapshot_commands({
      .name = "vps",
      .examples = "{vps} create --container my-env --name my-box --cores 4\n"
                  "{vps} connect my-box\n"
                  "{vps} stop my-box && {vps} start my-box",
      .details = "A VPS is a container to live in: what is in it stays when it is stopped, and when its node is started anew.",
      .options = client_options(),
      .subcommands = {{.name = "create",
                       .summary = "Make a VPS and start it",
                       .examples = "{vps} create --container my-env --name my-box --cores 4 --memory 16G",
                       .options = create_options()},
                      {.name = "list", .summary = "List the VPSs, newest first", .examples = "{vps} list"},
                      {.name = "show", .summary = "Tell all about one", .examples = "{vps} show my-box", .arguments = {a_vps()}},
                      {.name = "connect",
                       .summary = "Join the terminal of a VPS",
                       .examples = "{vps} connect my-box\n{vps} connect my-box --watch",
                       .details = "The same as: riverbox connect. The shell stays when its clients leave or break off.",
                       .arguments = {a_vps()},
                       .options = connect_options()},
                      {.name = "stop", .summary = "Stop a VPS; what is in it stays", .examples = "{vps} stop my-box", .arguments = {a_vps()}},
                      {.name = "start", .summary = "Start a stopped VPS", .examples = "{vps} start my-box", .arguments = {a_vps()}, .options = beginning_options()},
                      {.name = "restart", .summary = "Stop a VPS and start it again", .examples = "{vps} restart my-box\n{vps} restart my-box --fresh", .arguments = {a_vps()}, .options = beginning_options()},
                      {.name = "pause", .summary = "Freeze a running VPS", .examples = "{vps} pause my-box", .arguments = {a_vps()}},
                      {.name = "resume", .summary = "Let a paused VPS go on", .examples = "{vps} resume my-box", .arguments = {a_vps()}},
                      {.name = "rm",
                       .summary = "Remove a VPS, with what is in it and its snapshots",
                       .examples = "{vps} rm my-box",
                       .arguments = {a_vps()},
                       .options = {{.names = "--force", .help = "stop it first"}}}},
  });
  for (Command& sharing : vps_sharing_subcommands()) command.subcommands.push_back(std::move(sharing));
  for (Command& older : classic_vps_subcommands()) command.subcommands.push_back(std::move(older));
  return command;
}

}  // namespace

const Command& vps_command() {
  static const Command command = make_vps_command();
  return command;
}

int run_vps(const Invocation& invocation) {
  const Arguments arguments = parse(vps_command(), invocation);
  const std::string& name = arguments.command->name;
  if (name == "create") return create_vps(arguments);
  if (name == "list") return list_vpses(arguments);
  if (name == "show") return show_vps(arguments);
  if (name == "connect") return connect_to(arguments, arguments.value("VPS"));
  if (name == "rm") return remove_vps(arguments);
  if (name == "share") return share_vps(arguments);
  if (name == "unshare") return unshare_vps(arguments);
  if (name == "submit") return submit_vps(arguments);
  if (name == "status") return list_active_vpses(arguments);
  if (name == "kill") return command_vps(arguments, "stop");
  if (name == "command") return command_vps(arguments, action_of(arguments));
  if (const auto run = snapshot_command(name)) return run(invocation, arguments);
  return command_vps(arguments, name);
}

}  // namespace riverbox::applets
