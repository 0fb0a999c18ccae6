#include "host/tasks.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

constexpr std::chrono::minutes kPatience{5};   // so long a task is overtaken by smaller ones
constexpr size_t kStartsAtOnce = 256;          // in one transaction

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

Demand demand_of(const store::TaskRecord& task, const std::string& image = {}) {
  const auto& spec = task.spec;
  return {task.node, spec.cores, spec.memory_bytes, spec.numa, spec.gpus, spec.gpus.empty() ? spec.gpu_count : 0, image};
}

NotFound no_such_task(TaskId id) { return NotFound("Task " + id.str() + " not found", "`riverbox task list` shows the tasks there are."); }

}  // namespace

Tasks::Tasks(store::TaskRepository& repository, Nodes& nodes, std::function<std::string(TaskId, bool)> log_file)
    : repository_(repository), nodes_(nodes), log_file_(std::move(log_file)), queue_(kPatience) {
  read_back();
}

void Tasks::read_back() {
  const auto tasks = repository_.unfinished();
  queue_ = Queue(kPatience);
  dependencies_ = {};
  held_ = {};
  for (const auto& task : tasks)
    if (task.state != TaskState::pending) held_.hold(task.spec, task.node);
  std::map<TaskId, TaskId> hopeless;  // one has ended, and then the host before it could tell those that follow it
  for (const auto& task : tasks) {
    if (task.state != TaskState::pending) continue;
    const auto after = predecessors_of(task.spec);
    if (after.hopeless) hopeless.emplace(task.spec.id, *after.hopeless);
    else if (!after.open.empty()) dependencies_.add(task.spec.id, after.open);
    else enqueue(task);
  }
  for (const auto& [id, on] : hopeless) give_up(id, on);
}

void Tasks::enqueue(const store::TaskRecord& task, const std::string& image) {
  queue_.add(task.spec.id, task.spec.priority, demand_of(task, image), parse_rfc3339(task.submitted_at));
}

// ---- places

std::vector<Machine> Tasks::machines() const {
  std::vector<Machine> out;
  for (const auto& node : nodes_.all()) {
    const auto& d = node.description;
    Machine machine{.name = d.hostname, .online = node.link != nullptr, .cores = d.cores, .memory_bytes = d.memory_bytes, .used = held_.of(d.hostname)};
    for (const auto& gpu : d.gpus) machine.gpus.push_back(gpu.gpu_id);
    for (const auto& [number, numa] : d.numa) machine.numa.insert(number);
    for (const auto& holding : node.holdings) machine.images.insert(holding.fingerprint);
    out.push_back(std::move(machine));
  }
  return out;
}

// One task for each target that could ever take it.
std::vector<store::TaskRecord> Tasks::requested(const Submission& submission, const std::vector<Machine>& machines, std::vector<FailedTarget>& failed) const {
  std::vector<store::TaskRecord> tasks;
  const auto task_for = [&](const std::string& node, const std::optional<int>& numa, const std::vector<int>& gpus) {
    store::TaskRecord task;
    task.spec = submission.spec;
    task.spec.id = TaskId::next();
    task.spec.numa = numa;
    task.spec.gpus = gpus;
    task.spec.stdout_file = log_file_(task.spec.id, false);
    task.spec.stderr_file = log_file_(task.spec.id, true);
    task.batch_id = tasks.empty() ? task.spec.id.str() : tasks.front().batch_id;
    task.node = node;
    task.submitted_at = to_rfc3339(wall_now());
    return task;
  };
  if (submission.targets.empty()) {
    tasks.push_back(task_for("", std::nullopt, {}));
    const Demand demand = demand_of(tasks.back());
    std::vector<std::string> reasons;
    for (const Machine& machine : machines) {
      const auto never = unfitness(machine, demand);
      if (!never) return tasks;
      reasons.push_back(machine.name + ": " + *never);
    }
    if (machines.empty()) throw Unavailable("No node has ever connected", "Start one with `riverbox runner` (or `riverbox up`).");
    throw Unavailable("No suitable node available for this task: none is big enough. " + join(reasons, "; "), "`hakuriver.client nodes` shows what they have.");
  }
  for (const auto& target : submission.targets) {
    const auto machine = std::find_if(machines.begin(), machines.end(), [&](const Machine& m) { return m.name == target.node.str(); });
    auto task = task_for(target.node.str(), target.numa, target.gpus);
    const auto never = machine == machines.end() ? std::optional<std::string>("Node not registered") : unfitness(*machine, demand_of(task));
    if (never) failed.push_back({target.str(), *never});
    else tasks.push_back(std::move(task));
  }
  return tasks;
}

void Tasks::take_place(store::TaskRecord& task, const Queue::Start& start) {
  const auto node = nodes_.find(start.node);
  task.node = start.node;
  task.placement = start.why;
  task.state = TaskState::assigning;
  task.spec.gpus = start.gpus;
  task.spec.epoch = node ? node->epoch : task.spec.epoch;
  held_.hold(task.spec, task.node);
}

void Tasks::dispatch(const store::TaskRecord& task) {
  if (const auto node = nodes_.find(task.node); node && node->link) node->link->dispatch(task.spec);  // else it is when the node is back
}

Submitted Tasks::submit(const Submission& submission) {
  if (!submission.client_id.empty()) {
    if (auto tasks = repository_.submitted_as(submission.client_id); !tasks.empty()) return {std::move(tasks), {}};
  }
  auto machines = this->machines();
  Submitted out;
  const auto after = predecessors_of(submission.spec);
  if (after.hopeless)
    throw Conflict("task " + after.hopeless->str() + ", which it is to follow, is " + std::string(to_string(get(*after.hopeless).state)), "It can only follow one that completes.");
  auto tasks = requested(submission, machines, out.failed);
  for (const auto& task : tasks) {
    if (after.open.empty()) enqueue(task, submission.image);
    else dependencies_.add(task.spec.id, after.open);
  }
  std::vector<Queue::Start> others;
  size_t started = 0;
  try {
    const auto starts = queue_.pass(machines, wall_now(), kStartsAtOnce);
    started = starts.size();
    for (const auto& start : starts) {
      const auto task = std::find_if(tasks.begin(), tasks.end(), [&](const auto& t) { return t.spec.id == start.id; });
      if (task == tasks.end()) others.push_back(start);
      else take_place(*task, start);
    }
    if (!submission.may_wait) refuse_waiting(tasks, machines, out.failed);
    out.tasks = std::move(tasks);
    repository_.insert(out.tasks, submission.client_id);  // durable before anybody is told
  } catch (...) {
    read_back();
    throw;
  }
  start_waiting(others);
  if (out.tasks.empty()) {
    std::vector<std::string> reasons;
    for (const auto& f : out.failed) reasons.push_back(f.target + ": " + f.reason);
    throw Unavailable("Failed to schedule task for any target. Failures: " + join(reasons, "; "), "`hakuriver.client nodes` shows the nodes and what is free.");
  }
  for (const auto& task : out.tasks)
    if (task.state == TaskState::assigning) dispatch(task);
  if (started == kStartsAtOnce) schedule();  // there may be room for more
  return out;
}

// Those that wait leave the queue and the list.
void Tasks::refuse_waiting(std::vector<store::TaskRecord>& tasks, const std::vector<Machine>& machines, std::vector<FailedTarget>& failed) {
  std::erase_if(tasks, [&](const store::TaskRecord& task) {
    const auto waiting = queue_.explain(task.spec.id, machines);
    if (!waiting) return false;
    std::vector<std::string> reasons;
    for (const auto& [node, reason] : waiting->refusals) reasons.push_back(task.node.empty() ? node + ": " + reason : reason);
    failed.push_back({task.node.empty() ? "any node" : task.node, join(reasons, "; ")});
    return queue_.remove(task.spec.id);
  });
}

void Tasks::start_waiting(const std::vector<Queue::Start>& starts) {
  if (starts.empty()) return;
  std::vector<store::TaskRecord> batch;
  std::vector<TaskId> assigned;
  try {
    for (const auto& start : starts) {
      auto task = repository_.find(start.id);
      if (!task || task->state != TaskState::pending) continue;
      take_place(*task, start);
      batch.push_back(std::move(*task));
    }
    assigned = repository_.assign(batch);
  } catch (...) {
    read_back();
    throw;
  }
  for (const auto& task : batch) {
    if (std::find(assigned.begin(), assigned.end(), task.spec.id) == assigned.end()) {
      held_.release(task.spec.id);
      continue;
    }
    dispatch(task);
    notify(task.spec.id);
  }
}

void Tasks::schedule() {
  for (bool more = queue_.size() > 0; more;) {
    auto machines = this->machines();
    const auto starts = queue_.pass(machines, wall_now(), kStartsAtOnce);
    start_waiting(starts);
    more = starts.size() == kStartsAtOnce;
  }
}

// It was called lost, and its place may be another's by now: then the node has more to do than it has cores for, until one of them ends.
void Tasks::found_again(TaskId id) {
  if (const auto task = repository_.find(id)) held_.hold(task->spec, task->node);
}

void Tasks::ended(TaskId id, TaskState state) {
  queue_.remove(id);
  dependencies_.remove(id);
  const bool freed = held_.release(id);
  follow_up(id, state);
  if (freed || state == TaskState::completed) schedule();
}

void Tasks::follow_up(TaskId id, TaskState state) {
  if (state == TaskState::lost) return;  // it may be found
  if (state != TaskState::completed) {
    for (const TaskId follower : dependencies_.failed(id)) give_up(follower, id);
    return;
  }
  for (const TaskId follower : dependencies_.succeeded(id))
    if (const auto task = repository_.find(follower)) enqueue(*task);
}

void Tasks::give_up(TaskId id, TaskId on) {
  const auto task = repository_.find(id);
  if (!task) return;
  const auto before = repository_.find(on);
  const std::string end = before ? std::string(to_string(before->state)) : "removed";
  if (!repository_.transition(id, sources_of(TaskState::failed), report_of(*task, TaskState::failed, "It never started: task " + on.str() + ", which it was to follow, is " + end + "."))) return;
  notify(id);
  follow_up(id, TaskState::failed);
}

Tasks::Predecessors Tasks::predecessors_of(const TaskSpec& spec) {
  Predecessors out;
  for (const TaskId id : spec.after) {
    const auto task = repository_.find(id);
    if (task && task->state == TaskState::completed) continue;
    if (!task || (is_final(task->state) && task->state != TaskState::lost)) out.hopeless = id;
    else out.open.push_back(id);
  }
  return out;
}

Tasks::Explanation Tasks::explain(TaskId id) {
  auto task = get(id);
  auto waiting = queue_.explain(id, machines());
  return {std::move(task), std::move(waiting), dependencies_.of(id)};
}

// ---- what becomes of them

bool Tasks::apply(const TaskReport& report) {
  bool changed = repository_.transition(report.id, sources_of(report.state), report);
  if (changed) {
    if (is_final(report.state))
      log::info("host", "task ended", {{"task", report.id.str()}, {"state", std::string(to_string(report.state))},
                                       {"exit_code", report.exit_code ? std::to_string(*report.exit_code) : "-"}});
    notify(report.id);
    if (is_final(report.state)) ended(report.id, report.state);
    else if (!held_.holds(report.id)) found_again(report.id);
  } else if (is_final(report.state) && held_.release(report.id)) {
    schedule();  // it was killed here, and now it has ended there
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
  if (!repository_.transition(id, sources_of(TaskState::killed), report_of(task, TaskState::killed, "Kill requested by user."))) {
    task = get(id);
    throw Conflict("Task " + id.str() + " cannot be killed (state: " + std::string(to_string(task.state)) + ")");
  }
  // A runner that is away learns of it in reconcile().
  if (auto node = nodes_.find(task.node); task.state != TaskState::pending && node && node->link) node->link->kill(id, task.spec.attempt);
  notify(id);
  if (task.state == TaskState::pending) ended(id, TaskState::killed);
  else follow_up(id, TaskState::killed);  // what it holds is free when its runner says so: it may need a while to end
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
    if (task.state == TaskState::pending) continue;  // it waits for this node, and was never sent
    if (task.state == TaskState::assigning)
      node->link->dispatch(task.spec);
    else if (repository_.transition(task.spec.id, sources_of(TaskState::lost),
                                    report_of(task, TaskState::lost, "Node " + hostname + " came back without this task."))) {
      notify(task.spec.id);
      ended(task.spec.id, TaskState::lost);
    }
  }
  for (const auto& attempt : attempts) {
    auto task = repository_.find(attempt.id);
    if (task && !is_final(task->state) && task->spec.attempt == attempt.attempt) continue;
    node->link->kill(attempt.id, attempt.attempt);
    if (task) held_.hold(task->spec, hostname);  // until it has ended
  }
  for (const TaskId id : held_.holders_on(hostname)) {  // killed before it arrived: nobody will tell of its end
    const auto task = repository_.find(id);
    if (!task || (is_final(task->state) && task->spec.epoch != node->epoch && !known(*task))) held_.release(id);
  }
  schedule();
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
