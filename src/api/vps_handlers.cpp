// VPSs (docs/vps.md). The paths and the shapes are KohakuRiver's, and what it lacks is beside them.
#include <chrono>

#include "api/fields.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/ssh_key.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kEnding = std::chrono::seconds(30);  // that one may need to end before it is started again
constexpr auto kLookAgain = std::chrono::milliseconds(100);

}  // namespace

Json user_shape(const std::string& name) { return {{"id", name}, {"username", name}, {"display_name", name}}; }

Json vps_shape(Call& call, const store::TaskRecord& vps) {
  Json out = task_shape(vps, call.identity, call.services.config->paths.shared_dir);
  for (const char* of_commands : {"command", "arguments", "stdout_path", "stderr_path", "retries", "time_limit_seconds"}) out.erase(of_commands);
  out["assignees"] = Json::array();
  for (const auto& guest : call.services.vpses.guests_of(vps.spec.id)) out["assignees"].push_back(user_shape(guest.user));
  out["vps_backend"] = "docker";
  out["ssh_key_mode"] = to_string(vps.spec.vps->ssh);
  out["ssh_port"] = ssh_port_of(*vps.spec.vps);
  return out;
}

store::TaskRecord asked_vps(Call& call) { return call.services.vpses.find(call.parameter("id"), owner_filter(call.identity)); }

store::TaskRecord own_vps(Call& call) {
  auto vps = asked_vps(call);
  if (!call.identity.sees_task_of(vps.owner))
    throw Forbidden("VPS " + vps.spec.id.str() + " belongs to '" + vps.owner + "' and is only shared with you", "Its owner may do this, and operators.");
  return vps;
}

namespace {

// How SSH lets its user in. Of a pair that is made here, the private half is told once and kept nowhere.
VpsSpec ssh_of(const nlohmann::json& body, const Config& config, std::string& private_key) {
  VpsSpec vps{.ssh = parse_ssh_mode(text(body, "ssh_key_mode", "disabled"))};
  const auto given = text(body, "ssh_public_key", "");
  if (!given.empty() && vps.ssh != VpsSpec::Ssh::upload) throw InvalidInput("field 'ssh_public_key' is for ssh_key_mode 'upload' only", "Leave one of them out.");
  if (vps.ssh == VpsSpec::Ssh::none && !config.vps.allow_ssh_without_key)
    throw Forbidden("SSH without a key is not allowed here", "Give a key, or have one made (generate). The host's administrator may allow it with allow_ssh_without_key below [vps].");
  if (vps.ssh == VpsSpec::Ssh::upload) {
    try {
      for (const auto& key : parse_ssh_public_keys(given)) vps.ssh_public_keys += key.line() + "\n";
    } catch (const InvalidInput& error) {
      throw InvalidInput("field 'ssh_public_key' holds no public key of SSH: " + error.fact(), error.next().empty() ? "It is the content of a file such as ~/.ssh/id_ed25519.pub." : error.next());
    }
  }
  if (vps.ssh == VpsSpec::Ssh::generate) {
    auto pair = SshKeyPair::make("riverbox-vps");
    vps.ssh_public_keys = pair.public_key.line() + "\n";
    private_key = std::move(pair.private_key);
  }
  return vps;
}

}  // namespace

int ssh_port_of(const VpsSpec& vps) { return vps.ssh == VpsSpec::Ssh::disabled ? 0 : 22; }

// A VPS is asked for as a task is, but for what it does.
host::Submission parse_vps(nlohmann::json body, const Config& config, std::string& private_key) {
  for (const char* not_of_it : {"command", "arguments", "retries", "time_limit_seconds", "after", "task_type", "working_dir", "client_id"})
    if (field(body, not_of_it)) throw InvalidInput(std::string("a VPS has no '") + not_of_it + "'", "It is there until it is stopped, and you live in it.");
  const auto name = text(body, "name", "");
  if (!name.empty() && !host::Vpses::is_name(name)) wrong("name", "a host name: at most 63 of a-z, 0-9 and '-', not digits alone");
  if (host::Vpses::is_reserved(name)) throw InvalidInput("a VPS cannot be called '" + name + "'", "That is a word of the API's paths. Choose another name.");
  if (text(body, "vps_backend", "docker") != "docker") throw InvalidInput("vps_backend '" + printable(text(body, "vps_backend", "")) + "' is not supported by this host", "Only 'docker' is.");
  if (const auto node = text(body, "target_hostname", ""); !node.empty()) {
    const auto numa = field(body, "target_numa_node_id");
    body["targets"] = {node + (numa ? ":" + std::to_string(number(body, "target_numa_node_id", 0, 1023)) : "")};
    if (const auto gpus = field(body, "required_gpus"); gpus && gpus->is_array() && !gpus->empty() && !gpus->front().is_array()) body["required_gpus"] = {*gpus};
  }
  body["command"] = "vps";
  auto out = parse_submission(body, config);
  if (out.spec.runs_on_host()) throw InvalidInput("a VPS needs a container", "Name an environment, or an image of a registry.");
  if (out.targets.size() > 1) throw InvalidInput("a VPS is on one node", "Name one, or none.");
  out.spec.vps = ssh_of(body, config, private_key);
  return out;
}

namespace {

// What was stopped a moment ago may need its grace; nobody shall have to ask again. State worker.
void start_once_ended(CallPtr call, TaskId id, const host::Vpses::Beginning& beginning, Clock::time_point give_up) {
  if (call->services.vpses.is_ending(id) && Clock::now() < give_up)
    return on_lane_after(kLookAgain, call, Lane::state, [call, id, beginning, give_up] { start_once_ended(call, id, beginning, give_up); });
  call->services.vpses.start(id, beginning);
  call->reply({{"message", "VPS " + id.str() + " start requested."}, {"task_id", id.str()}}, 202);
}

void reply_vpses(Call& call, bool all) {
  Json out = Json::array();
  for (const auto& vps : call.services.vpses.list(owner_filter(call.identity)))
    if (all || !is_final(vps.state)) out.push_back(vps_shape(call, vps));
  call.reply(out);
}

}  // namespace

void create_vps(CallPtr call) {
  std::string private_key;
  std::vector<host::Submission> wish{parse_vps(call->body(), *call->services.config.now(), private_key)};
  wish.front().owner = call->identity.name;
  find_archives(*call, wish);
  on_lane(call, Lane::state, [call, wish = std::move(wish), private_key = std::move(private_key)] {
    const auto vps = call->services.vpses.create(wish.front());
    auto out = vps_shape(*call, vps);
    out["message"] = vps.state == TaskState::pending ? "VPS created; it waits for a place." : "VPS created successfully.";
    if (!private_key.empty()) {
      out["ssh_private_key"] = private_key;
      out["ssh_public_key"] = trim(vps.spec.vps->ssh_public_keys);
    }
    call->reply(out);
  });
}

void list_vpses(CallPtr call) { reply_vpses(*call, !call->request.query.contains("active")); }

void list_active_vpses(CallPtr call) { reply_vpses(*call, false); }

void show_vps(CallPtr call) { call->reply(vps_shape(*call, asked_vps(*call))); }

void stop_vps(CallPtr call) {
  const auto id = asked_vps(*call).spec.id;
  call->services.vpses.stop(id);
  call->reply({{"message", "VPS " + id.str() + " stop requested. VPS marked as stopped."}, {"task_id", id.str()}}, 202);
}

void start_vps(CallPtr call) {
  const auto vps = asked_vps(*call);
  find_beginning(call, vps, [call, id = vps.spec.id](const host::Vpses::Beginning& beginning) { start_once_ended(call, id, beginning, Clock::now() + kEnding); });
}

void begin_again(CallPtr call, const store::TaskRecord& vps, const host::Vpses::Beginning& beginning) {
  if (!is_final(call->services.tasks.get(vps.spec.id).state)) call->services.vpses.stop(vps.spec.id);
  start_once_ended(call, vps.spec.id, beginning, Clock::now() + kEnding);
}

void restart_vps(CallPtr call) {
  const auto vps = asked_vps(*call);
  find_beginning(call, vps, [call, vps](const host::Vpses::Beginning& beginning) { begin_again(call, vps, beginning); });
}

void remove_vps(CallPtr call) {
  const auto id = own_vps(*call).spec.id;
  call->services.vpses.remove(id);
  call->reply({{"message", "VPS " + id.str() + " removed, with all that was in it."}, {"task_id", id.str()}});
}

}  // namespace riverbox::api
