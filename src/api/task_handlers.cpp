#include <algorithm>
#include <map>

#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

Json shape(Call& call, const store::TaskRecord& task) { return task_shape(task, call.identity, call.services.config->paths.shared_dir); }

Json submitted_shape(Call& call, const host::Submitted& submitted) {
  Json ids = Json::array(), waiting = Json::array();
  for (const auto& task : submitted.tasks) {
    ids.push_back(task.spec.id.str());
    if (task.state == TaskState::pending) waiting.push_back(ids.back());
  }
  auto count = std::to_string(submitted.tasks.size());
  Json out;
  out["message"] = submitted.failed.empty() ? "Task batch submitted successfully. " + count + " tasks created."
                                            : "Task batch submitted. " + count + " tasks created. Some targets failed.";
  out["task_ids"] = ids;
  if (!waiting.empty()) out["waiting"] = waiting;
  if (submitted.failed.empty() && !submitted.tasks.back().placement.empty()) {
    auto node = call.services.nodes.find(submitted.tasks.back().node);
    out["assigned_node"] = {{"hostname", submitted.tasks.back().node}, {"url", node ? "http://" + node->description.address : ""}};
  }
  for (const auto& f : submitted.failed) out["failed_targets"].push_back({{"target", f.target}, {"reason", f.reason}});
  return out;
}

// The newest archive of the environment. A missing one is an error that lists those there are; nothing is ever pulled instead.
std::string newest_archive(const environment::Share& share, const environment::EnvironmentName& name) {
  if (auto newest = share.newest(name)) return newest->tarball;
  std::string known;
  for (const auto& [other, versions] : share.list(false)) known += (known.empty() ? "" : ", ") + other.str();
  throw NotFound("there is no environment '" + name.str() + "' on the share",
                 known.empty() ? "Make one with `hakuriver.docker create-container IMAGE " + name.str() + "` and `create-tar " + name.str() + "`."
                               : "There are: " + printable(known, 2000) + ".");
}

// What is submitted again is asked once more: the configuration may be another one, and so may the one who asks.
void check_allowed(std::vector<host::Submission>& submissions, const host::TaskPolicy& policy, Role role) {
  for (size_t i = 0; i < submissions.size(); ++i) {
    try {
      policy.apply(submissions[i].spec, role);
    } catch (const Forbidden& error) {
      if (submissions.size() == 1) throw;
      throw Forbidden("task " + std::to_string(i) + " of the batch: " + error.fact(), error.next());
    }
  }
}

// Each finds the archive that it is to run in; then they go to the state worker.
void take(CallPtr call, std::vector<host::Submission> submissions, const std::string& client_id) {
  struct Found {
    std::string tarball, image;
  };
  // A task of somebody else does not get more because of who submits it again.
  const auto& who = call->identity;
  const bool own = std::all_of(submissions.begin(), submissions.end(), [&](const auto& s) { return s.owner == who.name; });
  check_allowed(submissions, *call->services.task_policy.now(), who.known && own ? who.role : Role::user);
  std::map<std::pair<std::string, std::string>, Found> found;  // thousands of tasks have a few environments
  for (auto& submission : submissions) {
    if (submission.spec.runs_on_host() || !submission.spec.registry_image.empty()) continue;  // there is no archive
    const auto name = environment::EnvironmentName::parse(submission.spec.environment);
    const auto [at, is_new] = found.try_emplace({name.str(), submission.version});
    if (is_new) {
      at->second.tarball = submission.version.empty() ? newest_archive(call->services.environments.share(), name)
                                                      : call->services.versions.find(name.str(), submission.version).tarball;
      at->second.image = call->services.versions.fingerprint(at->second.tarball);
    }
    submission.spec.exact = !submission.version.empty();
    submission.spec.tarball = at->second.tarball;
    submission.image = at->second.image;
  }
  on_lane(call, Lane::state, [call, submissions = std::move(submissions), client_id] {
    if (call->identity.role < Role::operator_)
      for (const auto& submission : submissions)
        for (const TaskId id : submission.spec.after) visible_task(call->services, call->identity, id);
    call->reply(submitted_shape(*call, call->services.tasks.submit(submissions, client_id)), 202);
  });
}

// They belong to the one who submits them, and so does what that one calls them.
void take_new(CallPtr call, std::vector<host::Submission> submissions, const nlohmann::json& body) {
  const auto& user = call->identity.name;
  for (auto& submission : submissions) submission.owner = user;
  auto client_id = parse_client_id(body);
  if (!client_id.empty() && !user.empty() && user != host::kAdministrator) client_id = user + "/" + client_id;
  take(std::move(call), std::move(submissions), client_id);
}

}  // namespace

void submit(CallPtr call) {
  const auto body = call->body();
  take_new(call, {parse_submission(body, *call->services.config.now())}, body);
}

void submit_batch(CallPtr call) {
  const auto body = call->body();
  take_new(call, parse_batch(body, *call->services.config.now()), body);
}

void task_status(CallPtr call) { call->reply(shape(*call, visible_task(*call))); }

void explain_task(CallPtr call) {
  const auto explanation = call->services.tasks.explain(visible_task(*call).spec.id);
  const auto& task = explanation.task;
  Json out{{"task_id", task.spec.id.str()}, {"status", std::string(to_string(task.state))}, {"node", or_null(task.node)},
           {"placement", or_null(task.placement)}, {"message", task.message}};
  for (const TaskId id : explanation.after) out["after"].push_back({{"task_id", id.str()}, {"status", std::string(to_string(call->services.tasks.get(id).state))}});
  if (explanation.waiting) {
    out["position"] = explanation.waiting->position;
    out["kept_node"] = or_null(explanation.waiting->kept);
    out["reasons"] = Json::array();
    for (const auto& [node, reason] : explanation.waiting->refusals) out["reasons"].push_back({{"node", node}, {"reason", reason}});
  }
  call->reply(out);
}

void list_tasks(CallPtr call) {
  const auto& query = call->request.query;
  auto number = [&](const char* key, int otherwise) {
    auto it = query.find(key);
    if (it == query.end()) return otherwise;
    auto value = parse_u64(it->second);
    if (!value || *value > 100000) throw InvalidInput(std::string("'") + key + "' must be a number from 0 to 100000");
    return static_cast<int>(*value);
  };
  std::optional<TaskState> state;
  if (auto it = query.find("status"); it != query.end()) state = parse_task_state(it->second);
  Json out = Json::array();
  for (const auto& task : call->services.tasks.list(state, number("limit", 100), number("offset", 0), owner_filter(call->identity))) out.push_back(shape(*call, task));
  call->reply(out);
}

void rerun_task(CallPtr call) {
  const auto task = visible_task(*call);
  auto again = host::resubmission(task);
  again.owner = task.owner;  // and not of the one who asks, who need not know its secrets
  again.spec.max_output_bytes = call->services.config->tasks.max_output;
  on_lane(call, Lane::share, [call, again] { take(call, {again}, {}); });
}

void kill_task(CallPtr call) {
  const auto id = visible_task(*call).spec.id;
  if (call->request.query.contains("batch")) {
    Json ids = Json::array();
    for (const TaskId killed : call->services.tasks.kill_batch(id)) ids.push_back(killed.str());
    return call->reply({{"message", "Kill requested for " + std::to_string(ids.size()) + " tasks."}, {"task_ids", ids}}, 202);
  }
  auto task = call->services.tasks.kill(id);
  call->reply({{"message", "Kill requested for task " + task.spec.id.str() + ". Task marked as killed."}}, 202);
}

void control_task(CallPtr call) {
  auto id = visible_task(*call).spec.id;
  auto action = call->parameter("action");
  if (action != "pause" && action != "resume") throw InvalidInput("Invalid command: '" + printable(action) + "'", "There are pause and resume.");
  call->services.tasks.control(id, action, [call, id, action](bool ok, std::string message) {
    std::string verb = action == "pause" ? "Pause" : "Resume";
    if (ok) return call->reply({{"message", verb + " for task " + id.str() + " sent to runner: " + verb + " command sent successfully."}});
    call->responder->send(detail(502, verb + " of task " + id.str() + " failed on the runner: " + message));
  });
}

}  // namespace riverbox::api
