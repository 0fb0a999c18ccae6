// What must always hold.
#include <algorithm>

#include "world.hpp"

namespace riverbox::simulation {
namespace {

constexpr Time kLongestWaitOfTheFirst = 300s + 300s + 300s;  // patience, the longest task, and whatever is slow about beginning and ending
constexpr Time kLongestRecovery = 350s + 200s + 60s;         // a partition, a reboot, a link
constexpr Time kLongestStandstill = 3000s;

}  // namespace

void World::fail(const std::string& what) const { throw Violation(what); }

// ---- at each start

// Nothing is over-booked by what the host knows, even if it does not run yet.
void World::check_promise(const Runner& runner, const TaskSpec& spec) {
  const auto& used = tasks_->usage_of(runner.name());
  const auto& node = runner.description();
  note("host: {} gets a place on {}", name({spec.id, spec.attempt}), runner.name());
  const auto subject = name({spec.id, spec.attempt}) + " on " + runner.name();
  if (used.cores > node.cores) fail(fmt::format("{}: {} of {} cores are promised", subject, used.cores, node.cores));
  if (used.memory_bytes > node.memory_bytes) fail(subject + ": more memory is promised than there is");
  if (std::set(used.gpus.begin(), used.gpus.end()).size() != used.gpus.size()) fail(subject + ": a GPU is promised twice");
}

// Nothing runs twice, before its turn or where it was not asked for, and what really runs has what it was promised.
void World::started(const Runner& runner, const TaskSpec& spec) {
  const Key key{spec.id, spec.attempt};
  const auto subject = name(key) + " on " + runner.name();
  ++figures_.starts;
  last_progress_ = now();
  Truth& truth = truth_[key];
  if (truth.has_run && !truth.vanished) fail(subject + ": it has been started before");
  truth = {.has_run = true};
  note("{}: {} runs", runner.name(), name(key));

  const auto& node = runner.description();
  int cores = spec.cores;
  std::uint64_t memory_bytes = spec.memory_bytes;
  std::map<int, Key> gpus;
  for (const int gpu : spec.gpus) gpus.emplace(gpu, key);
  if (gpus.size() != spec.gpus.size()) fail(subject + ": a GPU is named twice");
  if (spec.gpu_count > 0 && spec.gpus.size() != static_cast<size_t>(spec.gpu_count)) fail(subject + ": not as many GPUs as were asked for");
  for (const auto& [gpu, holder] : gpus)
    if (std::none_of(node.gpus.begin(), node.gpus.end(), [gpu = gpu](const auto& g) { return g.gpu_id == gpu; })) fail(subject + ": a GPU that is not there");
  for (const auto& held : runner.running()) {
    cores += held.spec->cores;
    memory_bytes += held.spec->memory_bytes;
    for (const int gpu : held.spec->gpus)
      if (!gpus.emplace(gpu, held.key).second) fail(fmt::format("{}: GPU {} is {}'s", subject, gpu, name(held.key)));
  }
  if (cores > node.cores) fail(fmt::format("{}: {} cores are used of {}", subject, cores, node.cores));
  if (memory_bytes > node.memory_bytes) fail(subject + ": more memory is used than there is");
  if (spec.numa && !node.numa.contains(*spec.numa)) fail(subject + ": a NUMA node that is not there");
  for (const TaskId before : spec.after)
    if (task_repository_.find(before)->state != TaskState::completed) fail(subject + ": " + name({before, 1}) + ", which it is to follow, has not completed");
}

void World::ended(Key key, const TaskReport& report) {
  Truth& truth = truth_[key];
  if (truth.outcome && !truth.vanished) fail(name(key) + ": it has ended before");
  truth.outcome = report.state;
  last_progress_ = now();
  truth.timed_out = report.timed_out;
}

void World::vanished(Key key) { truth_[key].vanished = true; }

// ---- now and then

// What was taken is there; what is over stays as it is.
void World::check_records() {
  std::map<TaskId, store::TaskRecord> records;
  for (auto& task : task_repository_.list({.limit = 1'000'000})) records.emplace(task.spec.id, std::move(task));
  for (const TaskId id : known_) {
    const auto record = records.find(id);
    if (record == records.end()) fail(name({id, 1}) + " is gone");
    const TaskState state = record->second.state;
    if (!is_final(state) || state == TaskState::lost) continue;
    const auto [before, is_new] = final_states_.emplace(id, state);
    if (!is_new && before->second != state) fail(fmt::format("{} was {}, and is {}", name({id, 1}), to_string(before->second), to_string(state)));
  }
}

// What was left behind in the chaos is undone by people, and whoever is first in the queue gets his turn.
void World::check_progress() {
  events_.after(30s, [this] { check_progress(); });
  at_host([this] {
    for (const auto& node : nodes_->all())
      if (node.draining) nodes_->set_draining(node.description.hostname, false);
    tasks_->schedule();
    const auto unfinished = task_repository_.unfinished();
    for (const auto& task : unfinished) {
      const auto node = nodes_->find(task.node);
      if (task.state == TaskState::paused && node && node->link) tasks_->control(task.spec.id, "resume", [](bool, const std::string&) {});
    }
    if (now() < healed_ + kLongestRecovery) return;
    check_head(unfinished);
    over_ = is_over(unfinished);
  });
}

void World::check_head(const std::vector<store::TaskRecord>& unfinished) {
  const store::TaskRecord* head = nullptr;
  for (const auto& task : unfinished) {
    if (task.state != TaskState::pending || (head && task.spec.priority <= head->spec.priority)) continue;  // they come by age
    if (tasks_->explain(task.spec.id).after.empty()) head = &task;
  }
  const TaskId id = head ? head->spec.id : TaskId();
  if (id != std::exchange(head_, id)) head_since_ = now();
  if (!head || now() - head_since_ < kLongestWaitOfTheFirst) return;
  std::string reasons;
  for (const auto& [node, reason] : tasks_->explain(id).waiting->refusals) reasons += "; " + node + ": " + reason;
  fail(fmt::format("{} has been the first in the queue for {} s{}", name({id, head->spec.attempt}), (now() - head_since_).count() / 1000, reasons));
}

// ---- at the end

bool World::is_over(const std::vector<store::TaskRecord>& unfinished) {
  const auto waits = std::find_if(unfinished.begin(), unfinished.end(), [this](const auto& task) { return !waits_for_lost(task); });
  const auto busy = std::find_if(runners_.begin(), runners_.end(), [](const auto& runner) { return !runner->is_idle() || !runner->is_up(); });
  if (now() - std::max(healed_ + kLongestRecovery, last_progress_) > kLongestStandstill) {
    if (waits != unfinished.end()) fail(fmt::format("{} is {}, and nothing happens any more", name({waits->spec.id, waits->spec.attempt}), to_string(waits->state)));
    if (busy != runners_.end()) fail((*busy)->name() + " does not come to rest");
  }
  return known_.size() >= wanted_ && waits == unfinished.end() && busy == runners_.end();
}

// It is lost, and may be found: so long nobody follows it.
bool World::waits_for_lost(const store::TaskRecord& task) {
  return task.state == TaskState::pending && std::any_of(task.spec.after.begin(), task.spec.after.end(), [this](TaskId id) {
           const auto before = task_repository_.find(id);
           return before && (before->state == TaskState::lost || waits_for_lost(*before));
         });
}

void World::check_end() {
  check_records();
  for (const auto& task : task_repository_.list({.limit = 1'000'000})) check_outcome(task);
  for (const auto& runner : runners_) {
    const auto& used = tasks_->usage_of(runner->name());
    if (used.cores != 0 || used.memory_bytes != 0 || !used.gpus.empty())
      fail(fmt::format("nothing runs on {}, and {} cores, {} bytes and {} GPUs are taken", runner->name(), used.cores, used.memory_bytes, used.gpus.size()));
  }
}

// What the host says of a task is what has become of its last attempt.
void World::check_outcome(const store::TaskRecord& task) {
  const Key key{task.spec.id, task.spec.attempt};
  const auto found = truth_.find(key);
  const Truth truth = found == truth_.end() ? Truth{} : found->second;
  const auto subject = fmt::format("{} is {}", name(key), to_string(task.state));
  if (task.state == TaskState::pending) return;  // is_over() has seen why
  if (task.state == TaskState::killed && kills_.contains(key.id)) return;
  if (truth.outcome && !truth.vanished && *truth.outcome != task.state) fail(fmt::format("{}, but it was {}", subject, to_string(*truth.outcome)));
  const bool never_started = !truth.outcome && (!task.spec.after.empty() || removed_.contains(task.target));
  const bool known = truth.outcome || truth.vanished;
  if (task.state == TaskState::lost) {
    if (truth.has_run && !truth.vanished) fail(subject + ", but it has run to its end");
  } else if (!known && !(task.state == TaskState::failed && never_started)) {
    fail(subject + ", but it has never run");
  }
  const bool wants_another = task.state == TaskState::failed || task.state == TaskState::killed_oom || task.state == TaskState::lost;
  if (wants_another && known && !truth.timed_out && task.spec.attempt <= task.spec.retries && !removed_.contains(task.target))
    fail(fmt::format("{}, though {} attempts are left", subject, task.spec.retries + 1 - task.spec.attempt));
}

}  // namespace riverbox::simulation
