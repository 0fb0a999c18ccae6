// A VPS as HakuRiver's clients ask for one: POST /submit with task_type "vps", and a public key for SSH as its command.
#include <chrono>

#include "api/fields.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kStarting = std::chrono::seconds(20);  // clients wait for 30 and more
constexpr auto kAskAgain = std::chrono::milliseconds(100);

// As the body of POST /vps/create.
nlohmann::json as_wish(nlohmann::json body) {
  auto key = text(body, "command", "");
  const bool has_key = !trim(key).empty();
  body["ssh_key_mode"] = has_key ? "upload" : "disabled";
  if (has_key) body["ssh_public_key"] = std::move(key);
  for (const char* of_commands : {"task_type", "command", "arguments"}) body.erase(of_commands);
  return body;
}

// HakuRiver's host asks its runner while the client waits, and whoever has the answer goes in at once. State worker.
void answer_once_up(CallPtr call, TaskId id, Clock::time_point give_up) {
  const auto vps = call->services.tasks.get(id);
  const bool starts = vps.state == TaskState::assigning || vps.state == TaskState::syncing;
  if (starts && Clock::now() < give_up) return on_lane_after(kAskAgain, call, Lane::state, [call, id, give_up] { answer_once_up(call, id, give_up); });
  auto out = submitted_shape(*call, {{vps}, {}});
  if (vps.state == TaskState::running) out["runner_response"] = {{"ssh_port", ssh_port_of(*vps.spec.vps)}};
  call->reply(out, 202);
}

}  // namespace

void submit_vps(CallPtr call) {
  std::string none_made;
  std::vector<host::Submission> wish{parse_vps(as_wish(call->body()), *call->services.config.now(), none_made)};
  wish.front().owner = call->identity.name;
  find_archives(*call, wish);
  on_lane(call, Lane::state, [call, wish = std::move(wish)] { answer_once_up(call, call->services.vpses.create(wish.front()).spec.id, Clock::now() + kStarting); });
}

}  // namespace riverbox::api
