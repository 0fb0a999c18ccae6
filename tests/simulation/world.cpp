#include "world.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace riverbox::simulation {
namespace {

constexpr std::uint64_t kMemoryUnit = 1ull << 30;
constexpr Time kLongestTask = 300s;
constexpr double kSubmittedInChaos = 0.7;  // of all; the rest finds a world that is whole again

}  // namespace

World::World(Settings settings, Trail& trail) : settings_(settings), trail_(trail), random_(settings.seed) {
  const int nodes = settings.nodes > 0 ? settings.nodes : static_cast<int>(random_.pick(1, 8));
  wanted_ = static_cast<size_t>(settings.tasks > 0 ? settings.tasks : random_.pick(20, 80));
  const bool crowded = random_.chance(60);  // the queue is long
  between_submissions_ = Time(random_.pick(500, crowded ? 8'000 : 40'000) / nodes + 1);
  between_faults_ = random_.chance(10) ? Time(1h) : Time(random_.pick(2'000, 60'000) * 8 / std::max(8, nodes));
  between_meddling_ = Time(random_.pick(5'000, 120'000) * 8 / std::max(8, nodes));
  host_crashes_ = random_.chance(50) ? 0 : static_cast<double>(random_.pick(1, 20)) / 20 / (1 + static_cast<double>(wanted_) / 100);
  lost_after_ = std::chrono::seconds(random_.pick(40, 300));
  make_nodes(nodes);
}

void World::make_nodes(int count) {
  for (int i = 0; i < count; ++i) {
    host::NodeDescription d;
    d.hostname = fmt::format("n{}", i);
    d.cores = 1 << random_.pick(1, 5);
    d.memory_bytes = static_cast<std::uint64_t>(random_.pick(4, 64)) * kMemoryUnit;
    if (random_.chance(40))
      for (int gpu = 0; gpu < random_.pick(1, 4); ++gpu) d.gpus.push_back({.gpu_id = gpu, .name = "G"});
    if (random_.chance(30)) d.numa = {{0, {}}, {1, {}}};
    runners_.push_back(std::make_unique<Runner>(*this, std::move(d)));
  }
}

WallTime World::wall() const { return WallTime(std::chrono::seconds(1'800'000'000)) + now() + clock_steps_; }

std::string World::name(Key key) const {
  const auto number = numbers_.find(key.id);
  return number == numbers_.end() ? fmt::format("#new/{}", key.attempt) : fmt::format("#{}/{}", number->second, key.attempt);
}

Time World::random_duration(const TaskSpec& spec) {
  if (is_endless(spec)) return spec.time_limit;
  return random_.chance(70) ? random_.between(0s, 60s) : random_.between(60s, kLongestTask);
}

Figures World::run() {
  start_host();
  for (const auto& runner : runners_) runner->start_program();
  look_for_lost();
  events_.after(5s, [this] { submit_later(); });
  fault_later();
  events_.after(between_meddling_, [this] { meddle(); });
  while (!over_) events_.step();
  check_end();
  figures_.tasks = known_.size();
  figures_.lasted = now();
  return figures_;
}

// ---- the host

void World::start_host() {
  const Clock clock{.wall = [this] { return wall(); }, .steady = [this] { return std::chrono::steady_clock::time_point(1h + now()); }};
  nodes_ = std::make_unique<host::Nodes>(node_repository_, kHeartbeat, 6, clock);
  tasks_ = std::make_unique<host::Tasks>(
      task_repository_, *nodes_, [](TaskId id, int attempt, bool is_stderr) { return fmt::format("{}.{}.{}", id.value(), attempt, is_stderr ? "err" : "out"); }, clock);
  check_records();
}

void World::crash_host() {
  note("the host crashes");
  ++figures_.host_restarts;
  dying_ = false;
  tasks_ = nullptr;
  for (const auto& node : nodes_->all())
    if (node.link) static_cast<Link&>(*node.link).host_is_gone();
  nodes_ = nullptr;
  events_.after(random_.chance(70) ? random_.between(100ms, 5s) : random_.between(5s, 200s), [this] {
    note("the host is back");
    start_host();
  });
}

void World::look_for_lost() {
  at_host([this] { tasks_->call_lost(lost_after_); });
  events_.after(10s, [this] { look_for_lost(); });
}

// ---- people

void World::submit_later() {
  if (chaos_ && static_cast<double>(known_.size()) >= kSubmittedInChaos * static_cast<double>(wanted_)) {
    events_.after(random_.between(0s, 1000s), [this] { heal(); });
    return;
  }
  if (known_.size() >= wanted_) return;
  submit();
  events_.after(random_.between(0ms, 2 * between_submissions_), [this] { submit_later(); });
}

// Of a submission whose answer is lost nobody knows; one that has a name may be repeated.
void World::submit() {
  at_host([this] {
    Submitted submitted;
    const auto count = static_cast<size_t>(random_.chance(15) ? random_.pick(2, settings_.tasks > 10'000 ? 500 : 12) : 1);
    while (submitted.submissions.size() < count) submitted.submissions.push_back(some_submission());
    if (random_.chance(40)) submitted.client_id = fmt::format("client-{}", submitted_.size());
    try {
      const auto answer = tasks_->submit(submitted.submissions, submitted.client_id);
      remember(answer.tasks);
      for (const auto& task : answer.tasks) submitted.tasks.push_back(task.spec.id);
    } catch (const Unavailable& refused) {
      note("a submission is refused: {}", refused.what());
      return;
    } catch (const Conflict& refused) {
      note("a submission is refused: {}", refused.what());
      return;
    }
    if (submitted.client_id.empty()) return;
    submitted_.push_back(std::move(submitted));
    if (dying_ || random_.chance(20)) events_.after(random_.between(0ms, 300s), [this] { submit_again(); });
  });
}

void World::submit_again() {
  if (!tasks_) return events_.after(10s, [this] { submit_again(); });
  at_host([this] {
    const Submitted& before = submitted_[random_.index(submitted_.size())];
    const auto answer = tasks_->submit(before.submissions, before.client_id);
    std::vector<TaskId> ids;
    for (const auto& task : answer.tasks) ids.push_back(task.spec.id);
    if (ids != before.tasks) fail(fmt::format("a submission that is repeated makes other tasks: {} and {}", before.tasks.size(), ids.size()));
  });
}

void World::remember(const std::vector<store::TaskRecord>& tasks) {
  for (const auto& task : tasks) {
    const auto& spec = task.spec;
    numbers_.emplace(spec.id, known_.size() + 1);
    known_.push_back(spec.id);
    note("{} is submitted: {} cores, {} GiB, {} of GPUs{}, priority {}, {} retries, limit {} s, after {}, target '{}': {}", name({spec.id, 1}), spec.cores,
         spec.memory_bytes / kMemoryUnit, spec.gpu_count, spec.gpus.empty() ? "" : " by index", spec.priority, spec.retries, spec.time_limit.count(),
         spec.after.empty() ? "nothing" : name({spec.after.front(), 1}), task.target, to_string(task.state));
  }
}

// Something that one of the machines could take when it is empty.
host::Submission World::some_submission() {
  host::Submission submission;
  TaskSpec& spec = submission.spec;
  spec.environment = "env";
  spec.command = random_.chance(10) ? "endless" : "some";
  if (is_endless(spec) || random_.chance(20)) spec.time_limit = std::chrono::seconds(random_.pick(1, kLongestTask.count() / 1000));
  if (random_.chance(20)) spec.priority = static_cast<int>(random_.pick(-2, 2));
  if (random_.chance(30)) spec.retries = static_cast<int>(random_.pick(1, 3));
  if (!known_.empty() && random_.chance(15)) {
    spec.after.push_back(some_task());
    if (const TaskId other = some_task(); random_.chance(30) && other != spec.after.front()) spec.after.push_back(other);
  }
  submission.may_wait = random_.chance(95);
  if (random_.chance(30)) submission.image = fmt::format("image{}", random_.pick(1, 3));
  const auto& node = runners_[random_.index(runners_.size())]->description();
  some_demand(spec, node);
  const auto several = random_.chance(20) ? random_.pick(1, 3) : 0;
  for (int i = 0; i < several; ++i) {
    Target target{NodeName::parse(i == 0 ? node.hostname : runners_[random_.index(runners_.size())]->name()), std::nullopt, {}};
    if (!node.numa.empty() && random_.chance(50)) target.numa = static_cast<int>(random_.pick(0, 1));
    if (!node.gpus.empty() && spec.gpu_count == 0 && random_.chance(50)) target.gpus.push_back(static_cast<int>(random_.index(node.gpus.size())));
    submission.targets.push_back(std::move(target));
  }
  return submission;
}

void World::some_demand(TaskSpec& spec, const host::NodeDescription& node) {
  spec.cores = static_cast<int>(random_.pick(0, random_.chance(20) ? node.cores : std::min(4, node.cores)));
  const auto memory = static_cast<std::int64_t>(node.memory_bytes / kMemoryUnit);
  spec.memory_bytes = static_cast<std::uint64_t>(random_.pick(0, random_.chance(20) ? memory : std::min<std::int64_t>(8, memory))) * kMemoryUnit;
  if (!node.gpus.empty() && random_.chance(40)) spec.gpu_count = static_cast<int>(random_.pick(1, static_cast<std::int64_t>(node.gpus.size())));
}

// Kills, pauses, drains; what cannot be done now is refused.
void World::meddle() {
  if (!chaos_) return;
  events_.after(random_.between(0ms, 2 * between_meddling_), [this] { meddle(); });
  if (known_.empty()) return;
  at_host([this] {
    const TaskId task = some_task();
    auto& runner = *runners_[random_.index(runners_.size())];
    try {
      switch (random_.pick(0, 7)) {
        case 0:
        case 1:
          tasks_->kill(task);
          note("{} is killed", name({task, 1}));
          kills_.insert(task);
          break;
        case 2:
          for (const TaskId killed : tasks_->kill_batch(task)) kills_.insert(killed);
          break;
        case 3:
        case 4: tasks_->control(task, random_.chance(60) ? "pause" : "resume", [](bool, const std::string&) {}); break;
        case 5:
          nodes_->set_draining(runner.name(), random_.chance(50));
          tasks_->schedule();
          break;
        case 6: remember(tasks_->submit({host::resubmission(tasks_->get(task))}).tasks); break;
        case 7:
          if (!random_.chance(30)) break;
          tasks_->remove_node(runner.name(), true);
          note("{} is removed", runner.name());
          removed_.insert(runner.name());
          break;
      }
    } catch (const Error& refused) {
      note("refused: {}", refused.what());
    }
  });
}

// ---- faults

void World::fault_later() {
  events_.after(random_.between(0ms, 2 * between_faults_), [this] {
    if (!chaos_) return;
    fault();
    fault_later();
  });
}

void World::fault() {
  ++figures_.faults;
  auto& runner = *runners_[random_.index(runners_.size())];
  switch (random_.pick(0, 10)) {
    case 0:
    case 1:
    case 2: return runner.break_link();
    case 3:
    case 4: return runner.partition(random_.chance(50) ? random_.between(1s, 60s) : random_.between(60s, 350s));
    case 5:
    case 6: return runner.crash_program(random_.between(500ms, 60s));
    case 7: return runner.crash_machine(random_.between(5s, 200s));
    case 8:
      if (random_.chance(20)) runner.lose_disk(random_.between(5s, 200s));
      return;
    case 9:
      if (host_crashes_ > 0 && random_.chance(20)) at_host([this] { dying_ = true; });
      return;
    case 10: return step_clock();
  }
}

// As when a clock that was wrong is set: all machines agree, but the day has a second afternoon, or none.
void World::step_clock() {
  const Time step = random_.chance(50) ? random_.between(1s, 60s) : random_.between(60s, 3h);
  clock_steps_ += random_.chance(50) ? step : -step;
  note("the clocks step; they are {} s away from where they began", clock_steps_.count() / 1000);
}

// From here on nothing breaks; what is broken comes back by itself.
void World::heal() {
  note("no more faults");
  chaos_ = false;
  healed_ = now();
  for (const auto& runner : runners_) runner->heal();
  events_.after(between_submissions_, [this] { submit_later(); });
  events_.after(30s, [this] { check_progress(); });
}

}  // namespace riverbox::simulation
