#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/fields.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

Json shape(Call& call, const store::TaskRecord& task) { return task_shape(task, call.identity, call.services.config->paths.shared_dir); }

}  // namespace

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

namespace {

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

}  // namespace

void find_archives(Call& call, std::vector<host::Submission>& submissions) {
  struct Found {
    std::string tarball, image;
  };
  // A task of somebody else does not get more because of who submits it again.
  const auto& who = call.identity;
  const bool own = std::all_of(submissions.begin(), submissions.end(), [&](const auto& s) { return s.owner == who.name; });
  check_allowed(submissions, *call.services.task_policy.now(), who.known && own ? who.role : Role::user);
  std::map<std::pair<std::string, std::string>, Found> found;  // thousands of tasks have a few environments
  for (auto& submission : submissions) {
    if (submission.spec.runs_on_host() || !submission.spec.registry_image.empty()) continue;  // there is no archive
    const auto name = environment::EnvironmentName::parse(submission.spec.environment);
    const auto [at, is_new] = found.try_emplace({name.str(), submission.version});
    if (is_new) {
      at->second.tarball = submission.version.empty() ? newest_archive(call.services.environments.share(), name)
                                                      : call.services.versions.find(name.str(), submission.version).tarball;
      at->second.image = call.services.versions.fingerprint(at->second.tarball);
    }
    submission.spec.exact = !submission.version.empty();
    submission.spec.tarball = at->second.tarball;
    submission.image = at->second.image;
  }
}

namespace {

void take(CallPtr call, std::vector<host::Submission> submissions, const std::string& client_id) {
  find_archives(*call, submissions);
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

// A filter of a list; one without a text is none.
std::optional<std::string> filter(const net::Request& request, const char* key, size_t longest = 512) {
  const auto found = request.query.find(key);
  if (found == request.query.end() || found->second.empty()) return std::nullopt;
  if (found->second.size() > longest) throw InvalidInput(fmt::format("'{}' has {} bytes, and may have {}", key, found->second.size(), longest), "Give fewer.");
  return found->second;
}

int page_number(const net::Request& request, const char* key, int otherwise) {
  constexpr std::uint64_t kMost = 100'000;
  const auto found = request.query.find(key);
  if (found == request.query.end()) return otherwise;
  const auto value = parse_u64(found->second);
  if (!value || *value > kMost) throw InvalidInput(fmt::format("'{}' must be a number from 0 to {}", key, kMost));
  return static_cast<int>(*value);
}

store::TaskQuery asked_tasks(const net::Request& request) {
  constexpr size_t kLongestText = 200;
  store::TaskQuery query{.owner = filter(request, "owner"), .node = filter(request, "node"), .environment = filter(request, "environment"),
                         .text = filter(request, "q", kLongestText).value_or("")};
  if (query.environment && query.environment->find('@') != std::string::npos)
    throw InvalidInput("'environment' must be a name without a version, and is '" + printable(*query.environment, 100) + "'", "The tasks in all versions of it are listed: leave out what follows the '@'.");
  if (const auto states = filter(request, "status"))
    for (const auto& word : split(*states, ',')) query.states.push_back(parse_task_state(word));
  if (const auto before = filter(request, "before")) query.before = TaskId::parse(*before);
  query.limit = page_number(request, "limit", query.limit);
  query.offset = page_number(request, "offset", query.offset);
  return query;
}

}  // namespace

void submit(CallPtr call) {
  const auto body = call->body();
  if (text(body, "task_type", "") == "vps") return submit_vps(call);
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
  auto query = asked_tasks(call->request);
  Json out = Json::array();
  if (const auto mine = owner_filter(call->identity)) {
    if (query.owner.value_or(*mine) != *mine) return call->reply(out);
    query.owner = mine;
  }
  for (const auto& task : call->services.tasks.list(query)) out.push_back(shape(*call, task));
  call->reply(out);
}

void summarize_tasks(CallPtr call) {
  std::uint64_t total = 0;
  Json by_status;
  for (const auto& [state, count] : call->services.task_repository.count_by_state(owner_filter(call->identity))) {
    by_status[std::string(to_string(state))] = count;
    total += count;
  }
  call->reply({{"total", total}, {"by_status", std::move(by_status)}});
}

void rerun_task(CallPtr call) {
  const auto task = visible_task(*call);
  if (task.spec.vps) throw Conflict("task " + task.spec.id.str() + " is a VPS, which is there once", "riverbox vps start starts it again when it is stopped.");
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
