#include "host/tasks.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

const std::vector<TaskState> kUnfinished{TaskState::pending, TaskState::assigning, TaskState::syncing, TaskState::running, TaskState::paused};

// The states from which a report of `to` is believed.
std::vector<TaskState> sources_of(TaskState to) {
  switch (to) {
    case TaskState::syncing: return {TaskState::pending, TaskState::assigning, TaskState::syncing};
    case TaskState::running: return {TaskState::pending, TaskState::assigning, TaskState::syncing, TaskState::running, TaskState::paused};
    case TaskState::paused: return {TaskState::running};
    default: return is_final(to) ? kUnfinished : std::vector<TaskState>{TaskState::pending};
  }
}

TaskReport report_of(const store::TaskRecord& task, TaskState state, std::string message) {
  TaskReport report;
  report.id = task.spec.id;
  report.attempt = task.spec.attempt;
  report.epoch = task.spec.epoch;
  report.state = state;
  report.message = std::move(message);
  if (is_final(state)) report.completed_at = to_rfc3339(wall_now());
  return report;
}

NotFound no_such_task(TaskId id) { return NotFound("Task " + id.str() + " not found", "`riverbox task list` shows the tasks there are."); }

}  // namespace

Tasks::Tasks(store::TaskRepository& repository, Nodes& nodes, std::function<std::string(TaskId, bool)> log_file)
    : repository_(repository), nodes_(nodes), log_file_(std::move(log_file)) {}

std::map<std::string, Usage> Tasks::usage() {
  std::map<std::string, Usage> out;
  for (const auto& node : nodes_.all())
    for (const auto& task : repository_.unfinished_on(node.description.hostname)) out[node.description.hostname].add(task.spec);
  return out;
}

Submitted Tasks::submit(const Submission& submission) {
  auto used = usage();
  Submitted out;
  std::string batch;
  auto place = [&](const std::string& hostname, const NodeView& node, const Demand& demand) {
    store::TaskRecord task;
    task.spec = submission.spec;
    task.spec.id = TaskId::next();
    task.spec.epoch = node.epoch;
    task.spec.numa = demand.numa;
    task.spec.gpus = demand.gpus;
    task.spec.stdout_file = log_file_(task.spec.id, false);
    task.spec.stderr_file = log_file_(task.spec.id, true);
    if (batch.empty()) batch = task.spec.id.str();
    task.batch_id = batch;
    task.node = hostname;
    task.state = TaskState::assigning;
    task.submitted_at = to_rfc3339(wall_now());
    used[hostname].add(task.spec);
    out.tasks.push_back(std::move(task));
  };

  Demand demand{submission.spec.cores, submission.spec.memory_bytes, std::nullopt, {}};
  if (submission.targets.empty()) {
    auto nodes = nodes_.all();
    if (nodes.empty()) throw Unavailable("No node has ever connected", "Start one with `riverbox runner` (or `riverbox up`).");
    auto chosen = choose_node(nodes, used, demand);
    if (!chosen) throw Unavailable("No suitable node available for this task", "`hakuriver.client nodes` shows what is free.");
    place(*chosen, *nodes_.find(*chosen), demand);
  }
  for (const auto& target : submission.targets) {
    demand.numa = target.numa;
    demand.gpus = target.gpus;
    auto node = nodes_.find(target.node.str());
    auto reason = node ? refusal(*node, used[target.node.str()], demand) : std::optional<std::string>("Node not registered");
    if (reason)
      out.failed.push_back({target.str(), *reason});
    else
      place(target.node.str(), *node, demand);
  }
  if (out.tasks.empty()) {
    std::string reasons;
    for (const auto& f : out.failed) reasons += (reasons.empty() ? "" : "; ") + f.target + ": " + f.reason;
    throw Unavailable("Failed to schedule task for any target. Failures: " + reasons, "`hakuriver.client nodes` shows the nodes and what is free.");
  }
  repository_.insert(out.tasks);  // durable before anybody is told
  for (const auto& task : out.tasks)
    if (auto node = nodes_.find(task.node); node && node->link) node->link->dispatch(task.spec);
  return out;
}

bool Tasks::apply(const TaskReport& report) {
  bool changed = repository_.transition(report.id, sources_of(report.state), report);
  if (changed) {
    if (is_final(report.state))
      log::info("host", "task ended", {{"task", report.id.str()}, {"state", std::string(to_string(report.state))},
                                       {"exit_code", report.exit_code ? std::to_string(*report.exit_code) : "-"}});
    notify(report.id);
  }
  return changed;
}

store::TaskRecord Tasks::get(TaskId id) {
  auto task = repository_.find(id);
  if (!task) throw no_such_task(id);
  return *task;
}

std::vector<store::TaskRecord> Tasks::list(std::optional<TaskState> state, int limit, int offset) {
  return repository_.list(state, limit, offset);
}

store::TaskRecord Tasks::kill(TaskId id) {
  auto task = get(id);
  if (!repository_.transition(id, kUnfinished, report_of(task, TaskState::killed, "Kill requested by user."))) {
    task = get(id);
    throw Conflict("Task " + id.str() + " cannot be killed (state: " + std::string(to_string(task.state)) + ")");
  }
  // A runner that is away learns of it in reconcile().
  if (auto node = nodes_.find(task.node); node && node->link) node->link->kill(id, task.spec.attempt);
  notify(id);
  return get(id);
}

void Tasks::control(TaskId id, const std::string& action, std::function<void(bool, std::string)> done) {
  auto task = get(id);
  auto wanted = action == "pause" ? TaskState::running : TaskState::paused;
  if (task.state != wanted)
    throw InvalidInput("Invalid command or task state: " + action + " for " + std::string(to_string(task.state)));
  auto node = nodes_.find(task.node);
  if (!node || !node->link) throw Unavailable("Node " + task.node + " is not connected", "Try again when `hakuriver.client nodes` shows it online.");
  node->link->control(action, id, task.spec.attempt, std::move(done));
}

void Tasks::reconcile(const std::string& hostname, const std::vector<KnownAttempt>& attempts) {
  auto node = nodes_.find(hostname);
  if (!node || !node->link) return;
  auto known = [&](const store::TaskRecord& task) {
    return std::any_of(attempts.begin(), attempts.end(), [&](auto& a) { return a.id == task.spec.id && a.attempt == task.spec.attempt; });
  };
  for (const auto& task : repository_.unfinished_on(hostname)) {
    if (known(task) || task.spec.epoch == node->epoch) continue;  // that epoch: sent over this very link
    if (task.state == TaskState::pending || task.state == TaskState::assigning)
      node->link->dispatch(task.spec);
    else if (repository_.transition(task.spec.id, kUnfinished,
                                    report_of(task, TaskState::lost, "Node " + hostname + " came back without this task.")))
      notify(task.spec.id);
  }
  for (const auto& attempt : attempts) {
    auto task = repository_.find(attempt.id);
    if (!task || is_final(task->state) || task->spec.attempt != attempt.attempt) node->link->kill(attempt.id, attempt.attempt);
  }
}

std::uint64_t Tasks::subscribe(TaskId id, Listener listener) {
  std::lock_guard lock(mutex_);
  listeners_.emplace(next_subscription_, Subscription{id, std::move(listener)});
  return next_subscription_++;
}

void Tasks::unsubscribe(std::uint64_t subscription) {
  std::lock_guard lock(mutex_);
  listeners_.erase(subscription);
}

void Tasks::notify(TaskId id) {
  std::vector<Listener> interested;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [number, s] : listeners_)
      if (s.task == id) interested.push_back(s.listener);
  }
  if (interested.empty()) return;
  if (auto task = repository_.find(id))
    for (const auto& listener : interested) listener(*task);
}

}  // namespace riverbox::host
