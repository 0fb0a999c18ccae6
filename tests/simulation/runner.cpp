#include "runner.hpp"

#include "world.hpp"

namespace riverbox::simulation {
namespace {

constexpr Time kWelcomeTimeout = 10s, kRefusedPause = 5s;

}  // namespace

void Runner::later(Time delay, std::function<void()> what) {
  world_.events().after(delay, [this, life = life_, what = std::move(what)] {
    if (program_runs_ && life == life_) what();
  });
}

Runner::Attempt* Runner::find(Key key) {
  const auto found = attempts_.find(key);
  return found == attempts_.end() ? nullptr : &found->second;
}

std::vector<Runner::Held> Runner::running() const {
  std::vector<Held> held;
  for (const auto& [key, attempt] : attempts_)
    if (attempt.phase == Phase::running || attempt.phase == Phase::paused) held.push_back({key, &attempt.spec});
  return held;
}

// ---- the program

// It adopts what it finds, as an executor does.
void Runner::start_program() {
  program_runs_ = true;
  ++life_;
  for (auto& [key, attempt] : attempts_) {
    attempt.kill_requested = false;
    attempt.told = TaskState::assigning;
    later(world_.random().between(0ms, 3s), [this, key = key] {
      Attempt* attempt = find(key);
      if (!attempt) return;
      if (attempt->phase == Phase::preparing) return prepare(key);
      if (attempt->phase == Phase::exited) {
        auto last = attempt->exit;
        return finish(key, std::move(last));
      }
      report(*attempt, TaskState::running);
      if (attempt->phase == Phase::paused) report(*attempt, TaskState::paused);
    });
  }
  dial_later(world_.random().between(0ms, 2s));
}

void Runner::crash_program(Time down) {
  if (!program_runs_) return;
  world_.note("{}: the runner crashes", name());
  program_runs_ = false;
  ++life_;
  recent_.clear();
  if (link_) std::exchange(link_, nullptr)->break_off();
  welcomed_ = false;
  std::erase_if(attempts_, [](const auto& entry) { return !entry.second.is_durable; });
  world_.events().after(down, [this, life = life_] {
    if (life == life_) start_program();
  });
}

void Runner::crash_machine(Time down) {
  if (!program_runs_) return;
  world_.note("{}: the machine crashes", name());
  for (auto& [key, attempt] : attempts_) {
    if (attempt.phase != Phase::running && attempt.phase != Phase::paused) continue;
    auto killed = report_of(attempt, TaskState::failed);
    killed.exit_code = 137;
    exit(key, std::move(killed));
  }
  crash_program(down);
}

void Runner::lose_disk(Time down) {
  if (!program_runs_) return;
  crash_machine(down);
  world_.note("{}: the disk is a new one", name());
  for (const auto& [key, attempt] : attempts_) world_.vanished(key);
  for (const auto& [sequence, report] : outbox_) world_.vanished({report.id, report.attempt});
  attempts_.clear();
  outbox_.clear();
  next_sequence_ = 1;
}

// ---- the link

void Runner::dial() {
  if (link_) return;
  if (!world_.tasks() || world_.now() < partition_ends_) return dial_later(world_.random().between(200ms, 5s));
  link_ = std::make_shared<Link>(world_, *this);
  std::vector<host::KnownAttempt> known;
  for (const auto& [key, attempt] : attempts_)
    known.push_back({key.id, key.attempt, attempt.spec.epoch, attempt.told, attempt.spec.gpus, {}, attempt.spec.claim});
  link_->hello(std::move(known));
  later(kWelcomeTimeout, [this, link = link_] {
    if (link == link_ && !welcomed_) gives_up(*link);
  });
}

void Runner::welcomed(Link& link) {
  if (link_.get() != &link) return;
  welcomed_ = true;
  for (const auto& [sequence, report] : outbox_) link.report(sequence, report);
  link.synced();
  beat(link_);
}

void Runner::beat(const std::shared_ptr<Link>& link) {
  if (link_ != link || !welcomed_) return;
  link_->heartbeat();
  later(world_.heartbeat_interval(), [this, weak = std::weak_ptr(link)] {
    if (const auto alive = weak.lock()) beat(alive);
  });
}

void Runner::refused(Link& link) {
  if (link_.get() != &link) return;
  link_ = nullptr;
  dial_later(kRefusedPause);
}

void Runner::closed(Link& link) {
  if (link_.get() != &link) return;
  link_ = nullptr;
  welcomed_ = false;
  if (program_runs_) dial_later(world_.random().between(200ms, 5s));
}

void Runner::gives_up(Link& link) {
  if (link_.get() != &link) return;
  link.hang_up();
  closed(link);
}

void Runner::break_link() {
  if (!link_) return;
  world_.note("{}: the link breaks", name());
  link_->break_off();
}

void Runner::partition(Time length) {
  world_.note("{}: nothing comes through for {} s", name(), length.count() / 1000);
  partition_ends_ = world_.now() + length;
  if (link_) link_->stall(partition_ends_);
}

void Runner::heal() { partition_ends_ = std::min(partition_ends_, world_.now()); }

void Runner::acknowledged(std::int64_t sequence) {
  while (!outbox_.empty() && outbox_.front().first <= sequence) outbox_.pop_front();
}

// ---- attempts

void Runner::put(TaskReport report) {
  outbox_.emplace_back(next_sequence_++, std::move(report));
  if (welcomed_) link_->report(outbox_.back().first, outbox_.back().second);
}

TaskReport Runner::report_of(const Attempt& attempt, TaskState state) const {
  TaskReport report;
  report.id = attempt.spec.id;
  report.attempt = attempt.spec.attempt;
  report.epoch = attempt.spec.epoch;
  report.state = state;
  if (state == TaskState::running) report.started_at = to_rfc3339(world_.wall());
  if (is_final(state)) report.completed_at = to_rfc3339(world_.wall());
  return report;
}

void Runner::report(Attempt& attempt, TaskState state) {
  attempt.told = state;
  put(report_of(attempt, state));
}

void Runner::dispatch(const TaskSpec& spec) {
  const Key key{spec.id, spec.attempt};
  if (attempts_.contains(key) || recent_.contains(key)) return;
  world_.note("{}: accepts {}", name(), world_.name(key));
  attempts_.emplace(key, Attempt{.spec = spec});
  later(world_.random().between(0ms, 100ms), [this, key] {
    Attempt* attempt = find(key);
    if (!attempt) return;
    attempt->is_durable = true;
    report(*attempt, TaskState::assigning);
    prepare(key);
  });
}

void Runner::prepare(Key key) {
  auto& random = world_.random();
  if (random.chance(30))  // the environment is loaded first
    later(random.between(0ms, 5s), [this, key] {
      Attempt* attempt = find(key);
      if (attempt && attempt->phase == Phase::preparing) report(*attempt, TaskState::syncing);
    });
  later(random.chance(20) ? random.between(5s, 30s) : random.between(0ms, 500ms), [this, key] { start(key); });
}

void Runner::start(Key key) {
  Attempt* attempt = find(key);
  if (!attempt || attempt->phase != Phase::preparing) return;
  if (attempt->kill_requested) return finish(key, report_of(*attempt, TaskState::killed));
  if (world_.random().chance(1)) return finish(key, report_of(*attempt, TaskState::failed));  // its environment is gone
  world_.started(*this, attempt->spec);
  attempt->phase = Phase::running;
  attempt->exit = outcome_of(*attempt);
  attempt->ends = world_.now() + world_.random_duration(attempt->spec);
  report(*attempt, TaskState::running);
  watch(key);
}

// How it would end by itself.
TaskReport Runner::outcome_of(const Attempt& attempt) {
  auto& random = world_.random();
  auto outcome = report_of(attempt, random.chance(80) ? TaskState::completed : random.chance(80) ? TaskState::failed : TaskState::killed_oom);
  outcome.exit_code = outcome.state == TaskState::completed ? 0 : 1;
  return outcome;
}

// The container ends whether the program runs or not.
void Runner::watch(Key key) {
  Attempt* attempt = find(key);
  world_.events().after(attempt->ends - world_.now(), [this, key] {
    Attempt* attempt = find(key);
    if (!attempt || attempt->phase != Phase::running || world_.now() < attempt->ends) return;  // it was paused
    auto outcome = attempt->exit;
    exit(key, std::move(outcome));
  });
}

void Runner::exit(Key key, TaskReport outcome) {
  Attempt& attempt = attempts_.at(key);
  const auto limit = attempt.spec.time_limit;
  if (outcome.state == TaskState::completed && limit.count() > 0 && world_.is_endless(attempt.spec)) {
    outcome.state = TaskState::failed;
    outcome.timed_out = true;
  }
  outcome.completed_at = to_rfc3339(world_.wall());
  attempt.phase = Phase::exited;
  attempt.exit = outcome;
  world_.note("{}: {} ends: {}", name(), world_.name(key), to_string(outcome.state));
  if (program_runs_) later(world_.random().between(0ms, 200ms), [this, key, outcome] { finish(key, outcome); });
}

// The report is durable, and then the attempt is forgotten.
void Runner::finish(Key key, TaskReport report) {
  if (!find(key)) return;
  world_.ended(key, report);
  put(std::move(report));
  attempts_.erase(key);
  recent_.insert(key);
}

void Runner::kill(Key key) {
  Attempt* attempt = find(key);
  if (!attempt || std::exchange(attempt->kill_requested, true)) return;
  world_.note("{}: is told to kill {}", name(), world_.name(key));
  if (attempt->phase == Phase::preparing) return;  // start() sees it
  later(world_.random().between(0ms, 10s), [this, key] {
    Attempt* attempt = find(key);
    if (!attempt || attempt->phase == Phase::exited) return;
    exit(key, report_of(*attempt, TaskState::killed));
  });
}

void Runner::control(bool pause, Key key) {
  Attempt* attempt = find(key);
  if (!attempt || attempt->kill_requested || attempt->phase != (pause ? Phase::running : Phase::paused)) return;
  if (pause) {
    attempt->left = attempt->ends - world_.now();
    attempt->phase = Phase::paused;
    return report(*attempt, TaskState::paused);
  }
  attempt->ends = world_.now() + attempt->left;
  attempt->phase = Phase::running;
  report(*attempt, TaskState::running);
  watch(key);
}

}  // namespace riverbox::simulation
