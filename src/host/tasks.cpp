#include "host/tasks.hpp"

#include <algorithm>
#include <utility>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

constexpr std::chrono::minutes kPatience{5};   // so long a task is overtaken by smaller ones
constexpr size_t kStartsAtOnce = 256;          // in one transaction
constexpr size_t kClaimBytes = 16;

Demand demand_of(const store::TaskRecord& task) {
  const auto& spec = task.spec;
  return {task.target, spec.cores, spec.memory_bytes, spec.numa, spec.gpus, spec.gpus.empty() ? spec.gpu_count : 0, task.fingerprint, spec.exclusive, spec.runs_on_host(), spec.vps.has_value()};
}

}  // namespace

NotFound no_such_task(TaskId id) { return NotFound("Task " + id.str() + " not found", "`riverbox task list` shows the tasks there are."); }

Submission resubmission(const store::TaskRecord& task) {
  Submission again{.spec = task.spec, .version = task.spec.exact ? task.spec.tarball : "", .targets = {}, .image = {}};
  again.spec.attempt = 1;
  again.spec.after.clear();
  if (again.spec.gpu_count > 0) again.spec.gpus.clear();
  again.spec.cpus.clear();
  if (!task.target.empty()) again.targets.push_back({NodeName::parse(task.target), again.spec.numa, again.spec.gpus});
  return again;
}

Tasks::Tasks(store::TaskRepository& repository, Nodes& nodes, LogFile log_file, Clock clock)
    : repository_(repository), nodes_(nodes), log_file_(std::move(log_file)), clock_(std::move(clock)), queue_(kPatience) {
  read_back();
}

void Tasks::read_back() {
  const auto tasks = repository_.unfinished();
  queue_ = Queue(kPatience);
  dependencies_ = {};
  const Ledger before = std::exchange(held_, {});
  for (const auto& task : tasks)
    if (task.state != TaskState::pending) held_.hold(task.spec, task.node);
  held_.take_over(before, [&](const Ledger::Key& key) {  // attempts that were given up, and have not ended yet
    const auto task = repository_.find(key.id);
    return task && (task->spec.attempt != key.attempt || is_final(task->state));
  });
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

void Tasks::enqueue(const store::TaskRecord& task, const std::string& failed_on) {
  const auto waited = std::max(WallTime::duration::zero(), clock_.wall() - parse_rfc3339(task.submitted_at));
  Demand demand = demand_of(task);
  if (task.target.empty()) demand.rather_not = failed_on;
  queue_.add(task.spec.id, task.spec.priority, demand, clock_.steady() - std::chrono::duration_cast<Queue::Time::duration>(waited));
}

// ---- places

std::vector<Machine> Tasks::machines() const {
  std::vector<Machine> out;
  for (const auto& node : nodes_.all()) {
    const auto& d = node.description;
    Machine machine{.name = d.hostname, .online = node.online, .draining = node.draining, .cores = d.cores, .memory_bytes = d.memory_bytes, .used = held_.of(d.hostname), .host_tasks = d.host_tasks, .vpses = d.vpses};
    for (const auto& gpu : d.gpus) machine.gpus.push_back(gpu.gpu_id);
    for (const auto& [number, numa] : d.numa) machine.numa.insert(number);
    machine.cpus = d.cpus;
    for (const auto& holding : node.holdings) machine.images.insert(holding.fingerprint);
    out.push_back(std::move(machine));
  }
  return out;
}

// One task for each target that could ever take it.
Tasks::Request Tasks::requested(const Submission& submission, const std::vector<Machine>& machines, std::vector<FailedTarget>& failed) {
  const auto after = predecessors_of(submission.spec);
  if (after.hopeless)
    throw Conflict("task " + after.hopeless->str() + ", which it is to follow, is " + std::string(to_string(get(*after.hopeless).state)), "It can only follow one that completes.");
  Request out{{}, after.open};
  auto& tasks = out.tasks;
  const auto task_for = [&](const std::string& node, const std::optional<int>& numa, const std::vector<int>& gpus) {
    store::TaskRecord task;
    task.spec = submission.spec;
    task.spec.id = TaskId::next();
    task.spec.numa = numa;
    task.spec.gpus = gpus;
    begin_attempt(task.spec);
    task.target = task.node = node;
    task.fingerprint = submission.image;
    task.owner = submission.owner;
    task.submitted_at = to_rfc3339(clock_.wall());
    return task;
  };
  if (submission.targets.empty()) {
    tasks.push_back(task_for("", std::nullopt, {}));
    const Demand demand = demand_of(tasks.back());
    std::vector<std::string> reasons;
    for (const Machine& machine : machines) {
      const auto never = unfitness(machine, demand);
      if (!never) return out;
      reasons.push_back(machine.name + ": " + *never);
    }
    if (machines.empty()) throw Unavailable("No node has ever connected", "Start one with `riverbox runner` (or `riverbox up`).");
    throw Unavailable("No suitable node available for this task: none can ever take it. " + join(reasons, "; "), "`hakuriver.client nodes` shows what they have.");
  }
  for (const auto& target : submission.targets) {
    const auto machine = std::find_if(machines.begin(), machines.end(), [&](const Machine& m) { return m.name == target.node.str(); });
    auto task = task_for(target.node.str(), target.numa, target.gpus);
    const auto never = machine == machines.end() ? std::optional<std::string>("Node not registered") : unfitness(*machine, demand_of(task));
    if (never) failed.push_back({target.str(), *never});
    else tasks.push_back(std::move(task));
  }
  return out;
}

// Of each attempt its own: what one has written is not lost when the next begins.
void Tasks::begin_attempt(TaskSpec& spec) const {
  spec.claim = random_hex(kClaimBytes);
  spec.stdout_file = log_file_(spec.id, spec.attempt, false);
  spec.stderr_file = log_file_(spec.id, spec.attempt, true);
}

void Tasks::take_place(store::TaskRecord& task, const Queue::Start& start) {
  const auto node = nodes_.find(start.node);
  task.node = start.node;
  task.placement = start.why;
  task.state = TaskState::assigning;
  task.spec.gpus = start.gpus;
  task.spec.cpus = start.cpus;
  task.spec.epoch = node ? node->epoch : task.spec.epoch;
  held_.hold(task.spec, task.node);
}

void Tasks::dispatch(const store::TaskRecord& task) {
  if (const auto node = nodes_.find(task.node); node && node->link) node->link->dispatch(task.spec);  // else it is when the node is back
}

Submitted Tasks::submit(const std::vector<Submission>& submissions, const std::string& client_id) {
  if (!client_id.empty()) {
    auto tasks = repository_.submitted_as(client_id);
    const auto is_another = [&](const auto& task) { return !task.owner.empty() && task.owner != submissions.front().owner; };
    if (std::any_of(tasks.begin(), tasks.end(), is_another)) throw Conflict("somebody else calls a submission '" + printable(client_id, 200) + "'", "Choose another client_id.");
    if (!tasks.empty()) return {std::move(tasks), {}};
  }
  auto machines = this->machines();
  Submitted out;
  std::vector<Request> requests;
  for (const auto& submission : submissions) requests.push_back(requested(submission, machines, out.failed));
  if (submissions.size() > 1 && !out.failed.empty()) throw Unavailable("No task was made: " + out.failed.front().target + ": " + out.failed.front().reason);
  std::vector<Queue::Start> others;
  size_t started = 0;
  try {
    out.tasks = enqueue(requests);
    const auto starts = queue_.pass(machines, clock_.steady(), kStartsAtOnce);
    started = starts.size();
    std::map<TaskId, store::TaskRecord*> mine;
    for (auto& task : out.tasks) mine.emplace(task.spec.id, &task);
    for (const auto& start : starts) {
      const auto task = mine.find(start.id);
      if (task == mine.end()) others.push_back(start);
      else take_place(*task->second, start);
    }
    if (!submissions.front().may_wait) refuse_waiting(out.tasks, machines, out.failed);
    repository_.insert(out.tasks, client_id);  // durable before anybody is told
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

// All of them are one batch.
std::vector<store::TaskRecord> Tasks::enqueue(std::vector<Request>& requests) {
  std::vector<store::TaskRecord> tasks;
  for (auto& request : requests) {
    for (auto& task : request.tasks) {
      task.batch_id = tasks.empty() ? task.spec.id.str() : tasks.front().batch_id;
      if (request.after.empty()) enqueue(task);
      else dependencies_.add(task.spec.id, request.after);
      tasks.push_back(std::move(task));
    }
  }
  return tasks;
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
      held_.release({task.spec.id, task.spec.attempt});
      continue;
    }
    dispatch(task);
    notify(task.spec.id);
  }
}

void Tasks::schedule() {
  for (bool more = !postponed_ && queue_.size() > 0; more;) {
    auto machines = this->machines();
    const auto starts = queue_.pass(machines, clock_.steady(), kStartsAtOnce);
    start_waiting(starts);
    more = starts.size() == kStartsAtOnce;
  }
}

// It was called lost, and its place may be another's by now: then the node has more to do than it has cores for, until one of them ends.
void Tasks::found_again(TaskId id) {
  if (const auto task = repository_.find(id)) held_.hold(task->spec, task->node);
}

bool Tasks::try_again(const TaskReport& report) {
  using enum TaskState;
  const bool may_go_better = report.state == failed || report.state == killed_oom || report.state == lost || report.state == stopped;
  if (!may_go_better || report.timed_out) return false;
  auto task = repository_.find(report.id);
  if (!task || task->spec.attempt != report.attempt || task->spec.attempt > task->spec.retries || !may_follow(task->state, pending)) return false;
  if (!task->target.empty() && !nodes_.find(task->target)) return false;  // it was removed
  auto& spec = task->spec;
  task->message = "Attempt " + std::to_string(spec.attempt) + " of " + std::to_string(spec.retries + 1) + " on " + task->node + ": " + std::string(to_string(report.state)) +
                  (report.message.empty() ? "." : ". " + report.message);
  ++spec.attempt;
  if (spec.gpu_count > 0) spec.gpus.clear();
  spec.cpus.clear();
  begin_attempt(spec);
  if (!repository_.requeue(*task)) return false;
  log::info("host", "a task waits for another attempt", {{"task", spec.id.str()}, {"attempt", std::to_string(spec.attempt)}, {"reason", task->message}});
  held_.release({report.id, report.attempt});
  enqueue(*task, task->node);
  notify(report.id);
  schedule();
  return true;
}

void Tasks::ended(TaskId id, int attempt, TaskState state) {
  queue_.remove(id);
  dependencies_.remove(id);
  const bool freed = held_.release({id, attempt});
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
    const bool may_be_found = task && task->state == TaskState::lost && nodes_.find(task->node);
    if (!task || (is_final(task->state) && !may_be_found)) out.hopeless = id;
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

TaskReport Tasks::report_of(const store::TaskRecord& task, TaskState state, std::string message) const {
  TaskReport report;
  report.id = task.spec.id;
  report.attempt = task.spec.attempt;
  report.epoch = task.spec.epoch;
  report.state = state;
  report.message = std::move(message);
  if (is_final(state)) report.completed_at = to_rfc3339(clock_.wall());
  return report;
}

bool Tasks::apply(const TaskReport& report) {
  if (report.state == TaskState::pending) return false;  // the host's word alone
  if (try_again(report)) return true;
  bool changed = repository_.transition(report.id, sources_of(report.state), report);
  if (changed) {
    if (is_final(report.state))
      log::info("host", "task ended", {{"task", report.id.str()}, {"state", std::string(to_string(report.state))},
                                       {"exit_code", report.exit_code ? std::to_string(*report.exit_code) : "-"}});
    notify(report.id);
    if (is_final(report.state)) ended(report.id, report.attempt, report.state);
    else if (!held_.holds({report.id, report.attempt})) found_again(report.id);
  } else if (is_final(report.state) && held_.release({report.id, report.attempt})) {
    schedule();  // it was killed here, and now it has ended there
  }
  return changed;
}

store::TaskRecord Tasks::get(TaskId id) {
  auto task = repository_.find(id);
  if (!task) throw no_such_task(id);
  return *task;
}

store::TaskRecord Tasks::kill(TaskId id) { return get(id).spec.vps ? stop(id) : end(id, TaskState::killed, "Kill requested by user."); }

store::TaskRecord Tasks::stop(TaskId id) { return end(id, TaskState::stopped, "Stopped on request."); }

void Tasks::start_again(store::TaskRecord vps, const std::function<bool(const store::TaskRecord&)>& started) {
  if (is_ending(vps)) throw Conflict("VPS " + vps.spec.id.str() + " is still being stopped", "Try again in a moment.");
  ++vps.spec.attempt;
  vps.spec.claim = random_hex(kClaimBytes);  // what it writes goes on in the same files
  vps.state = TaskState::pending;
  vps.target = vps.node;
  if (!started(vps)) throw Conflict("VPS " + vps.spec.id.str() + " has not ended, or is being started");
  enqueue(vps);
  notify(vps.spec.id);
  schedule();
}

store::TaskRecord Tasks::end(TaskId id, TaskState as, std::string message) {
  auto task = get(id);
  if (!repository_.transition(id, sources_of(as), report_of(task, as, std::move(message)))) {
    task = get(id);
    throw Conflict("Task " + id.str() + " cannot be " + std::string(to_string(as)) + " (state: " + std::string(to_string(task.state)) + ")");
  }
  // A runner that is away learns of it in reconcile().
  if (auto node = nodes_.find(task.node); task.state != TaskState::pending && node && node->link) node->link->kill(id, task.spec.attempt);
  notify(id);
  if (task.state == TaskState::pending) ended(id, task.spec.attempt, as);
  else follow_up(id, as);  // what it holds is free when its runner says so: it may need a while to end
  return get(id);
}

std::vector<TaskId> Tasks::kill_batch(TaskId id) {
  std::vector<TaskId> killed;
  for (const auto& task : repository_.of_batch(get(id).batch_id)) {
    if (is_final(task.state)) continue;
    try {
      kill(task.spec.id);
      killed.push_back(task.spec.id);
    } catch (const Conflict&) {  // it has ended with one before it
    }
  }
  if (killed.empty()) throw Conflict("All tasks of the batch of task " + id.str() + " are over");
  return killed;
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
