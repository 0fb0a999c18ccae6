#include <algorithm>
#include <map>

#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMaxTextBytes = 64u << 20;  // of one log answered at once; followers have no limit

Json shape(Call& call, const store::TaskRecord& task) { return task_shape(task, call.services.config.paths.shared_dir); }

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

// Each finds the archive that it is to run in; then they go to the state worker.
void take(CallPtr call, std::vector<host::Submission> submissions, const std::string& client_id) {
  struct Found {
    std::string tarball, image;
  };
  std::map<std::pair<std::string, std::string>, Found> found;  // thousands of tasks have a few environments
  for (auto& submission : submissions) {
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
    call->reply(submitted_shape(*call, call->services.tasks.submit(submissions, client_id)), 202);
  });
}

std::string last_lines(std::string text, std::uint64_t lines) {
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  while (at > 0) {
    if (text[at - 1] == '\n' && --lines == 0) break;
    --at;
  }
  return text.substr(at);
}

void task_output(CallPtr call, bool is_stderr) {
  auto task = call->services.tasks.get(TaskId::parse(call->parameter("id")));
  on_lane(call, Lane::share, [call, task, is_stderr] {
    auto path = call->services.config.paths.shared_dir / (is_stderr ? task.spec.stderr_file : task.spec.stdout_file);
    std::string text;
    try {
      text = os::read_file(path, kMaxTextBytes);
    } catch (const IoError& e) {
      if (e.error_number() != ENOENT) throw;
      if (call->dialect == Dialect::classic)
        throw NotFound(std::string("Standard ") + (is_stderr ? "error" : "output") + " file not found (might not be generated yet).");
    }
    if (auto lines = call->request.query.find("lines"); lines != call->request.query.end()) {
      auto count = parse_u64(lines->second);
      if (!count || *count == 0) throw InvalidInput("'lines' must be a positive number");
      text = last_lines(std::move(text), *count);
    }
    call->reply_text(valid_utf8(text));
  });
}

}  // namespace

void submit(CallPtr call) {
  const auto body = call->body();
  take(call, {parse_submission(body, call->services.config)}, parse_client_id(body));
}

void submit_batch(CallPtr call) {
  const auto body = call->body();
  take(call, parse_batch(body, call->services.config), parse_client_id(body));
}

void task_status(CallPtr call) { call->reply(shape(*call, call->services.tasks.get(TaskId::parse(call->parameter("id"))))); }

void explain_task(CallPtr call) {
  const auto explanation = call->services.tasks.explain(TaskId::parse(call->parameter("id")));
  const auto& task = explanation.task;
  Json out{{"task_id", task.spec.id.str()}, {"status", std::string(to_string(task.state))}, {"node", task.node.empty() ? Json(nullptr) : Json(task.node)},
           {"placement", task.placement.empty() ? Json(nullptr) : Json(task.placement)}, {"message", task.message}};
  for (const TaskId id : explanation.after) out["after"].push_back({{"task_id", id.str()}, {"status", std::string(to_string(call->services.tasks.get(id).state))}});
  if (explanation.waiting) {
    out["position"] = explanation.waiting->position;
    out["kept_node"] = explanation.waiting->kept.empty() ? Json(nullptr) : Json(explanation.waiting->kept);
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
  for (const auto& task : call->services.tasks.list(state, number("limit", 100), number("offset", 0))) out.push_back(shape(*call, task));
  call->reply(out);
}

void rerun_task(CallPtr call) {
  const auto again = host::resubmission(call->services.tasks.get(TaskId::parse(call->parameter("id"))));
  on_lane(call, Lane::share, [call, again] { take(call, {again}, {}); });
}

void kill_task(CallPtr call) {
  const auto id = TaskId::parse(call->parameter("id"));
  if (call->request.query.contains("batch")) {
    Json ids = Json::array();
    for (const TaskId killed : call->services.tasks.kill_batch(id)) ids.push_back(killed.str());
    return call->reply({{"message", "Kill requested for " + std::to_string(ids.size()) + " tasks."}, {"task_ids", ids}}, 202);
  }
  auto task = call->services.tasks.kill(id);
  call->reply({{"message", "Kill requested for task " + task.spec.id.str() + ". Task marked as killed."}}, 202);
}

void control_task(CallPtr call) {
  auto id = TaskId::parse(call->parameter("id"));
  auto action = call->parameter("action");
  if (action != "pause" && action != "resume") throw InvalidInput("Invalid command: '" + printable(action) + "'", "There are pause and resume.");
  call->services.tasks.control(id, action, [call, id, action](bool ok, std::string message) {
    std::string verb = action == "pause" ? "Pause" : "Resume";
    if (ok) return call->reply({{"message", verb + " for task " + id.str() + " sent to runner: " + verb + " command sent successfully."}});
    call->responder->send(detail(502, verb + " of task " + id.str() + " failed on the runner: " + message));
  });
}

void task_stdout(CallPtr call) { task_output(call, false); }
void task_stderr(CallPtr call) { task_output(call, true); }

}  // namespace riverbox::api
