// What becomes of tasks when their node comes back, is silent, or is removed.
#include <algorithm>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "host/tasks.hpp"

namespace riverbox::host {
namespace {

constexpr std::chrono::seconds kEndingTakes{30};  // a node that has lost its host needs so long, and the task's grace, to end what is to stop

}  // namespace

template <typename Work>
void Tasks::in_one_pass(const Work& work) {
  {
    struct Postponed {
      bool& flag;
      ~Postponed() { flag = false; }
    } until_all_is_done{postponed_};
    postponed_ = true;
    work();
  }
  schedule();
}

bool Tasks::is_on(const std::string& node, TaskId id, int attempt) {
  const auto task = repository_.find(id);
  return task && task->spec.attempt == attempt ? task->node == node : held_.holds_on({id, attempt}, node);
}

// A database that was restored from a backup does not know what has been given to nodes since. Nobody else knows the claim.
bool Tasks::recover(const std::string& hostname, const KnownAttempt& attempt, store::TaskRecord task) {
  if (task.state != TaskState::pending || task.spec.attempt != attempt.attempt || task.spec.claim.empty() || task.spec.claim != attempt.claim) return false;
  take_place(task, {task.spec.id, hostname, attempt.gpus.value_or(std::vector<int>()), "It was found there.", attempt.cpus.value_or(std::vector<int>())});
  task.spec.epoch = attempt.epoch;
  repository_.assign({task});
  queue_.remove(task.spec.id);
  dependencies_.remove(task.spec.id);
  if (attempt.state && !is_final(*attempt.state)) apply(report_of(task, *attempt.state, {}));
  return true;
}

void Tasks::take_in(const std::string& hostname, const std::vector<KnownAttempt>& attempts) {
  for (const auto& attempt : attempts) {
    auto task = repository_.find(attempt.id);
    if (!task || recover(hostname, attempt, *task)) continue;
    if (attempt.attempt == task->spec.attempt && task->node != hostname) continue;
    task->spec.attempt = attempt.attempt;
    if (attempt.gpus) task->spec.gpus = *attempt.gpus;  // another attempt may have got others
    if (attempt.cpus) task->spec.cpus = *attempt.cpus;
    held_.hold(task->spec, hostname);
  }
}

void Tasks::reconcile(const std::string& hostname, const std::vector<KnownAttempt>& attempts) {
  auto node = nodes_.find(hostname);
  if (!node || !node->link) return;
  auto known = [&](TaskId id, int attempt) {
    return std::any_of(attempts.begin(), attempts.end(), [&](auto& a) { return a.id == id && a.attempt == attempt; });
  };
  in_one_pass([&] {
    for (const auto& task : repository_.unfinished_on(hostname)) {
      if (known(task.spec.id, task.spec.attempt) || task.spec.epoch == node->epoch) continue;  // that epoch: sent over this very link
      if (task.state == TaskState::pending) continue;  // it waits for this node, and was never sent
      if (task.state == TaskState::assigning) node->link->dispatch(task.spec);
      else apply(report_of(task, TaskState::lost, "Node " + hostname + " came back without this task."));
    }
    for (const auto& attempt : attempts) {
      auto task = repository_.find(attempt.id);
      const bool is_current = task && task->spec.attempt == attempt.attempt;
      if (is_current && !is_final(task->state) && task->node == hostname) continue;
      if (is_current && task->state == TaskState::lost) {  // here it is
        if (task->node == hostname && attempt.state && may_follow(TaskState::lost, *attempt.state)) apply(report_of(*task, *attempt.state, {}));
        continue;
      }
      node->link->kill(attempt.id, attempt.attempt);  // it holds its place until it has ended, if it has not yet
    }
    for (const auto& [id, attempt] : held_.holders_on(hostname)) {  // killed before it arrived: nobody will tell of its end
      if (known(id, attempt)) continue;
      const auto task = repository_.find(id);
      const bool is_current = task && task->spec.attempt == attempt;
      if (!is_current || (is_final(task->state) && task->spec.epoch != node->epoch)) held_.release({id, attempt});
    }
  });
}

void Tasks::call_lost(std::chrono::seconds after) {
  std::vector<TaskReport> lost;
  for (const auto& node : nodes_.all()) {
    if (node.silent_for < after) continue;
    const auto& name = node.description.hostname;
    if (node.link) {
      node.link->drop();
      nodes_.disconnect(name, node.link.get());  // at once: what it may still say does not bring the node back
    }
    for (const auto& task : repository_.unfinished_on(name)) {
      if (task.state == TaskState::pending) continue;  // it waits for the node, and may
      // What is to stop there has stopped by then, so that it never runs beside the attempt that replaces it.
      const auto due = task.spec.lease.count() > 0 ? std::max(after, task.spec.lease + task.spec.stop_grace + kEndingTakes) : after;
      if (node.silent_for >= due) lost.push_back(report_of(task, TaskState::lost, "Nothing has been heard of node " + name + " for " + human_duration(due) + "."));
    }
  }
  if (lost.empty()) return;
  in_one_pass([&] {
    for (const auto& report : lost) apply(report);
  });
}

void Tasks::remove_node(const std::string& hostname, bool force) {
  const auto node = nodes_.get(hostname);
  const auto tasks = repository_.unfinished_on(hostname);
  if (!tasks.empty() && !force && !node.link)
    throw Conflict("node '" + hostname + "' has " + std::to_string(tasks.size()) + " unfinished tasks, the first is " + tasks.front().spec.id.str(),
                   "With --force they are given up: those that wait for it fail, the others are called lost.");
  nodes_.remove(hostname);
  in_one_pass([&] {
    for (const auto& task : tasks) apply(report_of(task, task.state == TaskState::pending ? TaskState::failed : TaskState::lost, "Node " + hostname + " was removed."));
    for (const auto& key : held_.holders_on(hostname)) held_.release(key);  // killed ones, whose end nobody will tell
  });
}

}  // namespace riverbox::host
