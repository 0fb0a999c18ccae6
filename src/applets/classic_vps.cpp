// hakuriver.vps submit and status, as HakuRiver's users type them. `kill` and `command` are `stop`, `pause` and `resume` of vps.cpp.
#include "applets/classic_vps.hpp"

#include <algorithm>
#include <filesystem>

#include "applets/api_client.hpp"
#include "applets/task_commands.hpp"
#include "applets/views.hpp"
#include "base/config.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::applets {
namespace {

constexpr size_t kMaxKeyBytes = 64 << 10;
constexpr auto kStarting = std::chrono::seconds(60);  // the host answers when it runs, and after 20 s at the latest

std::string key_in(const std::filesystem::path& file) { return std::string(trim(os::read_file(file, kMaxKeyBytes))); }

// The one that was given; else the user's own.
std::string public_key(const Arguments& arguments) {
  const auto text = arguments.find("--public-key-string"), file = arguments.find("--public-key-file");
  if (text && file) throw UsageError("--public-key-string and --public-key-file: it takes one of them.");
  if (file) return key_in(*file);
  if (text) return std::string(trim(*text));
  for (const char* name : {"id_rsa.pub", "id_ed25519.pub"}) {
    try {
      if (auto key = key_in(home_dir() / ".ssh" / name); !key.empty()) return key;
    } catch (const Error&) {  // it is not there, or not for us
    }
  }
  return {};
}

// Its --cores is 0 unless it is told, where a task has 1.
Json wish(const Arguments& arguments) {
  Arguments given = arguments;
  if (!given.has("--cores")) given.add("--cores", "0");
  if (given.all("--target").size() > 1) throw UsageError("--target: a VPS is on one node.");
  Json body{{"task_type", "vps"}, {"command", public_key(arguments)}, {"arguments", Json::array()}};
  if (body["command"].get_ref<const std::string&>().empty())
    throw UsageError("No SSH public key provided.", "Use --public-key-string, --public-key-file, or make one: ssh-keygen -t ed25519\nWithout SSH: riverbox vps create");
  add_workload(body, given);
  return body;
}

std::vector<Option> submit_vps_options() {
  static constexpr std::string_view kShared[] = {"--target", "--cores", "--memory", "--container", "--privileged", "--mount"};
  std::vector<Option> out;
  for (Option& option : submit_options())
    if (std::find(std::begin(kShared), std::end(kShared), option.names) != std::end(kShared)) out.push_back(std::move(option));
  for (Option& option : out) {
    if (option.names == "--target") option.help = "where it is to be; without it the host chooses";
    if (option.names == "--cores") option.help = "cores to reserve (0); 0 = no limit";
  }
  out.push_back({.names = "--public-key-string", .value = "KEY", .help = "whose owner may log in with SSH, as it stands in a file *.pub"});
  out.push_back({.names = "--public-key-file", .value = "PATH", .help = "the same from a file (~/.ssh/id_rsa.pub, ~/.ssh/id_ed25519.pub)", .complete = "files"});
  return out;
}

}  // namespace

std::vector<Command> classic_vps_subcommands() {
  const Argument vps{.name = "VPS", .help = "its id or its name", .complete = "vps"};
  return {{.name = "submit",
           .summary = "Make a VPS for SSH, in HakuRiver's words",
           .examples = "{vps} submit --container my-env --public-key-file ~/.ssh/id_ed25519.pub\n"
                       "{vps} submit --target node1::0,1 --cores 8 --memory 32G --container my-env",
           .details = "Waits until it runs. `create` makes one with a name and without a key.",
           .options = submit_vps_options()},
          {.name = "status", .summary = "List the VPSs that have not been stopped", .examples = "{vps} status\n{vps} status --json | jq -r '.[].task_id'"},
          {.name = "kill", .summary = "The same as stop", .examples = "{vps} kill 7265342119845888000", .details = "What is in it stays: `rm` removes it.", .arguments = {vps}},
          {.name = "command",
           .summary = "The same as pause or resume",
           .examples = "{vps} command 7265342119845888000 pause\n{vps} command 7265342119845888000 resume",
           .arguments = {vps, {.name = "ACTION", .help = "pause or resume", .complete = "pause|resume"}}}};
}

int submit_vps(const Arguments& arguments) {
  const Json body = wish(arguments);
  ApiClient api(client_config(arguments));
  const Json answer = api.post("/api/submit", body, kStarting);
  if (wants_json(arguments)) return print(with_key_order(answer, {"message", "task_ids", "waiting", "assigned_node", "runner_response"}));
  const std::string id = answer.at("task_ids").at(0).get<std::string>();
  const std::string node = answer.contains("assigned_node") ? text_of(answer["assigned_node"], "hostname") : "";
  const std::string state = answer.contains("runner_response") ? "runs" : answer.contains("waiting") ? "waits for a place" : "is not up yet (riverbox vps show " + id + ")";
  write_out("VPS " + id + " " + state + (node.empty() ? "" : " on " + printable(node)) + "; log in: riverbox ssh " + id + "\n");
  return 0;
}

int list_active_vpses(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json all = api.get("/api/vps/status");
  if (wants_json(arguments)) return print(all);
  Table table({"VPS", "STATUS", "NODE", "NUMA", "CORES", "GPUS", "SUBMITTED", "STARTED"});
  for (const Json& vps : all) {
    const std::string status = text_of(vps, "status");
    std::vector<std::string> gpus;
    for (const Json& gpu : vps.at("required_gpus")) gpus.push_back(gpu.dump());
    table.add({{text_of(vps, "task_id")}, {status, colour_of_state(status)}, {text_of(vps, "assigned_node")}, {text_of(vps, "target_numa_node_id")}, {text_of(vps, "required_cores")},
               {join(gpus, ",")}, {short_time(vps, "submitted_at")}, {short_time(vps, "started_at")}});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

}  // namespace riverbox::applets
