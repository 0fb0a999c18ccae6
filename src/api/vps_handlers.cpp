// VPSs (docs/vps.md). The paths and the shapes are KohakuRiver's, and what it lacks is beside them.
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "api/fields.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kEnding = std::chrono::seconds(30);  // that one may need to end before it is started again
constexpr auto kLookAgain = std::chrono::milliseconds(100);

Json vps_shape(Call& call, const store::TaskRecord& vps) {
  Json out = task_shape(vps, call.identity, call.services.config->paths.shared_dir);
  for (const char* of_commands : {"command", "arguments", "stdout_path", "stderr_path", "retries", "time_limit_seconds"}) out.erase(of_commands);
  out["vps_backend"] = "docker";
  return out;
}

// By its id or its name, if it is there for this one.
store::TaskRecord asked_vps(Call& call) {
  const auto vps = call.services.vpses.find(call.parameter("id"));
  return visible_task(call.services, call.identity, vps.spec.id);
}

// A VPS is asked for as a task is, but for what it does.
host::Submission parse_vps(nlohmann::json body, const Config& config) {
  for (const char* not_of_it : {"command", "arguments", "retries", "time_limit_seconds", "after", "task_type", "working_dir"})
    if (field(body, not_of_it)) throw InvalidInput(std::string("a VPS has no '") + not_of_it + "'", "It is there until it is stopped, and you live in it.");
  const auto name = text(body, "name", "");
  if (!name.empty() && !host::Vpses::is_name(name)) wrong("name", "a host name: at most 63 of a-z, 0-9 and '-', not digits alone");
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
  out.spec.vps.emplace();
  return out;
}

// What was stopped a moment ago may need its grace; nobody shall have to ask again. State worker.
void start_once_ended(CallPtr call, TaskId id, Clock::time_point give_up) {
  if (call->services.vpses.is_ending(id) && Clock::now() < give_up) {
    const auto timer = std::make_shared<boost::asio::steady_timer>(call->services.loop, kLookAgain);
    return timer->async_wait([timer, call, id, give_up](const boost::system::error_code& error) {
      if (!error) on_lane(call, Lane::state, [call, id, give_up] { start_once_ended(call, id, give_up); });
    });
  }
  call->services.vpses.start(id);
  call->reply({{"message", "VPS " + id.str() + " start requested."}, {"task_id", id.str()}}, 202);
}

}  // namespace

void create_vps(CallPtr call) {
  std::vector<host::Submission> wish{parse_vps(call->body(), *call->services.config.now())};
  wish.front().owner = call->identity.name;
  find_archives(*call, wish);
  on_lane(call, Lane::state, [call, wish = std::move(wish)] {
    const auto vps = call->services.vpses.create(wish.front());
    auto out = vps_shape(*call, vps);
    out["message"] = vps.state == TaskState::pending ? "VPS created; it waits for a place." : "VPS created successfully.";
    call->reply(out);
  });
}

void list_vpses(CallPtr call) {
  const bool all = !call->request.query.contains("active");
  Json out = Json::array();
  for (const auto& vps : call->services.vpses.list(owner_filter(call->identity)))
    if (all || !is_final(vps.state)) out.push_back(vps_shape(*call, vps));
  call->reply(out);
}

void show_vps(CallPtr call) { call->reply(vps_shape(*call, asked_vps(*call))); }

void stop_vps(CallPtr call) {
  const auto id = asked_vps(*call).spec.id;
  call->services.vpses.stop(id);
  call->reply({{"message", "VPS " + id.str() + " stop requested. VPS marked as stopped."}, {"task_id", id.str()}}, 202);
}

void start_vps(CallPtr call) { start_once_ended(call, asked_vps(*call).spec.id, Clock::now() + kEnding); }

void restart_vps(CallPtr call) {
  const auto vps = asked_vps(*call);
  if (!is_final(vps.state)) call->services.vpses.stop(vps.spec.id);
  start_once_ended(call, vps.spec.id, Clock::now() + kEnding);
}

void remove_vps(CallPtr call) {
  const auto id = asked_vps(*call).spec.id;
  call->services.vpses.remove(id);
  call->reply({{"message", "VPS " + id.str() + " removed, with all that was in it."}, {"task_id", id.str()}});
}

}  // namespace riverbox::api
