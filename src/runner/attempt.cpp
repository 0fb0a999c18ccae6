#include "runner/attempt.hpp"

#include <fmt/format.h>

#include <thread>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "environment/name.hpp"
#include "runner/backoff.hpp"
#include "runner/outcome.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::seconds(10);        // between SIGTERM and SIGKILL
constexpr auto kProgressInterval = std::chrono::seconds(1);
constexpr int kFailedReads = 3;                          // of the output of a container that has ended
constexpr int kEndTries = 60;
constexpr auto kNameGetsFree = std::chrono::seconds(30);  // the container of the attempt before may be on its way out

bool is_over(const docker::ContainerState& state) { return !state.running && state.status != "created" && state.status != "restarting"; }

std::filesystem::path log_path(const Services& services, const std::string& relative) {
  try {
    return share_file(services.facts.shared_dir, relative);
  } catch (const InvalidInput&) {
    return {};  // prepare() makes it the attempt's failure
  }
}

}  // namespace

Attempt::Attempt(Services& services, TaskSpec task, Origin origin)
    : services_(services), task_(std::move(task)), origin_(origin), name_(services.facts.naming.task_container(task_.id)) {
  log_ = services_.logs.open(id(), log_path(services_, task_.stdout_file), log_path(services_, task_.stderr_file));
}

// ---- what other threads ask for

KnownAttempt Attempt::known() const {
  std::lock_guard lock(mutex_);
  return {id(), task_.epoch, told_};
}

bool Attempt::is_started() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::started;
}

bool Attempt::kill_requested() const {
  std::lock_guard lock(mutex_);
  return kill_requested_;
}

bool Attempt::request_kill() {
  std::lock_guard lock(mutex_);
  if (std::exchange(kill_requested_, true)) return false;  // one is enough
  syncing_.cancel();
  return phase_ == Phase::started;
}

void Attempt::detach() {
  std::lock_guard lock(mutex_);
  detached_ = true;
  syncing_.cancel();
  following_.cancel();
  ending_.cancel();
}

void Attempt::end_container() {
  for (int i = 0; i < kEndTries; ++i) {
    std::string container;
    CancelToken grace;
    grace.set_deadline(Clock::now() + kGrace);
    {
      std::lock_guard lock(mutex_);
      if (phase_ != Phase::started || detached_) return;
      container = container_;
      ending_ = grace;
    }
    try {
      auto state = services_.engine.inspect_container(container).state;
      if (is_over(state)) return;
      services_.engine.kill_container(container, "TERM");
      if (state.paused) services_.engine.unpause_container(container);  // what is frozen cannot obey
      try {
        services_.engine.wait_container(container, grace);
      } catch (const Timeout&) {
        services_.engine.kill_container(container, "KILL");
      }
      return;
    } catch (const docker::ContainerNotFoundError&) {
      return;
    } catch (const Cancelled&) {
      return;
    } catch (const std::exception& error) {
      if (i == 0) log::warning("runner", "cannot end a task; trying again", {{"task", id().str()}, {"reason", error.what()}});
    }
    try {
      pause_before_retry(std::chrono::seconds(1));
    } catch (const Detached&) {
      return;
    }
  }
}

std::string Attempt::control(bool pause) {
  std::string container;
  {
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::preparing) throw Conflict("task " + task_.id.str() + " has not started yet");
    if (phase_ == Phase::over || kill_requested_) throw Conflict("task " + task_.id.str() + " is ending");
    container = container_;
  }
  try {
    pause ? services_.engine.pause_container(container) : services_.engine.unpause_container(container);
  } catch (const docker::DockerError&) {
    auto state = services_.engine.inspect_container(container).state;
    if (!state.running || state.paused != pause) throw;  // else it was so already, which is what is wanted
  }
  report(pause ? TaskState::paused : TaskState::running);
  return pause ? "paused" : "resumed";
}

// ---- reports

TaskReport Attempt::report_of(TaskState state, std::string message) const {
  TaskReport report;
  report.id = task_.id;
  report.attempt = task_.attempt;
  report.epoch = task_.epoch;
  report.state = state;
  report.message = std::move(message);
  return report;
}

// Nothing is reported after the end, whoever it comes from.
void Attempt::report(TaskState state, std::string message) {
  auto report = report_of(state, std::move(message));
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::over) return;
  told_ = state;
  services_.reports.add(std::move(report));
}

// ---- the way of an attempt

bool Attempt::run() {
  TaskReport last;
  try {
    last = execute();
  } catch (const Detached&) {
    return false;
  }
  if (files_) files_->close();
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::over;
  }
  services_.logs.finish(id());
  if (last.completed_at.empty()) last.completed_at = to_rfc3339(wall_now());
  log::info("runner", "task ended", {{"task", id().str()},
                                     {"state", std::string(to_string(last.state))},
                                     {"exit_code", last.exit_code ? std::to_string(*last.exit_code) : "-"},
                                     {"message", last.message}});
  try {
    services_.reports.finish(std::move(last));
    return true;
  } catch (const Cancelled&) {
    return false;
  }
}

TaskReport Attempt::execute() {
  std::string failure;
  try {
    prepare();
    follow();
    return outcome();
  } catch (const Detached&) {
    throw;
  } catch (const docker::ContainerNotFoundError&) {
    failure = is_started() ? "Its container was removed from outside." : "Its container was removed from outside before it could start.";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  check_still_wanted();  // an error that the runner's end caused is none of the task's
  if (kill_requested()) return report_of(TaskState::killed, "Killed on request before it started.");
  auto report = report_of(TaskState::failed, std::move(failure));
  report.exit_code = start_exit_code_;
  report.started_at = started_at_;
  report.image_id = image_id_;
  report.tarball = tarball_;
  return report;
}

void Attempt::prepare() {
  if (origin_ == Origin::dispatched) services_.attempts.add(task_);
  share_file(services_.facts.shared_dir, task_.stdout_file);  // before anything is made
  share_file(services_.facts.shared_dir, task_.stderr_file);
  std::optional<docker::Container> container;
  if (origin_ == Origin::adopted) container = find_container();
  if (!container && origin_ == Origin::adopted && had_container())
    throw docker::DockerError("Its container was removed while the runner was away; how far it came is in its output.");
  if (!container) {
    if (origin_ == Origin::dispatched) report(TaskState::assigning);
    auto image_id = bring_up_to_date();
    check_still_wanted();
    if (kill_requested()) throw Cancelled("the task was killed");
    container = create(image_id);
  }
  start(*container);
}

// The container of an earlier run. While Docker is away nobody knows whether it exists, so this waits.
std::optional<docker::Container> Attempt::find_container() {
  for (Backoff backoff;;) {
    try {
      auto container = services_.engine.inspect_container(name_);
      if (!is_this_attempt(container)) return std::nullopt;  // create() says what is in the way
      log::info("runner", "task adopted", {{"task", id().str()}, {"container", container.name}, {"state", container.state.status}});
      return container;
    } catch (const docker::ContainerNotFoundError&) {
      return std::nullopt;
    } catch (const docker::DockerConnectionError&) {
      pause_before_retry(backoff.next());
    }
  }
}

// The output files are made after the container and before its start. With them but without a container the task may have run, and
// nothing may run twice.
bool Attempt::had_container() const {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(log_->path(false), ignored));
}

std::string Attempt::bring_up_to_date() {
  auto name = environment::EnvironmentName::parse(task_.environment);
  CancelToken token;
  token.set_deadline(Clock::now() + services_.sync_timeout);
  {
    std::lock_guard lock(mutex_);
    if (detached_) throw Detached{};
    if (kill_requested_) throw Cancelled("the task was killed");
    syncing_ = token;
  }
  Clock::time_point last{};
  auto progress = [&](const environment::SyncProgress& p) {
    // "checking" takes milliseconds and is not worth a state; every report is a durable write.
    if (p.step == "checking" || (last != Clock::time_point{} && Clock::now() - last < kProgressInterval)) return;
    last = Clock::now();
    report(TaskState::syncing, progress_text(p.step, p.bytes, p.total_bytes));
  };
  environment::SyncResult result;
  try {
    result = task_.exact ? services_.syncer.ensure_exactly(name, task_.tarball, token, progress)
                         : services_.syncer.ensure(name, task_.tarball, token, progress);
  } catch (const Timeout&) {
    throw Timeout(fmt::format("environment '{}' was not loaded within {} s", name.str(), services_.sync_timeout.count()),
                  "Raise [docker] image_sync_timeout on this node, or look why its Docker or the share is slow.");
  }
  if (result.loaded)
    log::info("runner", "environment brought up to date", {{"environment", name.str()}, {"tarball", result.tarball}});
  tarball_ = result.tarball;
  return result.image_id;
}

// ---- the container

bool Attempt::is_this_attempt(const docker::Container& container) const {
  const auto& naming = services_.facts.naming;
  auto wanted = naming.task_labels(task_.id, kTaskType, services_.facts.node, task_.attempt, task_.epoch);
  wanted.erase(naming.label("epoch"));  // of the link, not of the attempt
  for (const auto& [key, value] : wanted) {
    auto found = container.labels.find(key);
    if (found == container.labels.end() || found->second != value) return false;
  }
  return true;
}

bool Attempt::is_older_attempt(const docker::Container& container) const {
  const auto& naming = services_.facts.naming;
  auto owner = container.labels.find(owner_label(naming));
  auto attempt = container.labels.find(naming.label("attempt"));
  if (owner == container.labels.end() || owner->second != services_.facts.state_file || attempt == container.labels.end()) return false;
  auto number = parse_i64(attempt->second);
  return number && *number < task_.attempt;
}

docker::Container Attempt::create(const std::string& image_id) {
  prepare_mounts(task_, services_.facts);
  auto spec = container_spec(task_, image_id, services_.facts);
  for (const auto give_up = Clock::now() + kNameGetsFree;;) {
    try {
      docker::Container container;
      container.id = services_.engine.create_container(name_, spec);
      container.name = name_;
      container.image_id = image_id;
      container.state.status = "created";
      return container;
    } catch (const docker::ContainerCreationError& error) {
      if (error.kind() != ErrorKind::conflict || Clock::now() > give_up) throw;
    }
    if (auto existing = take_name()) return *existing;
    pause_before_retry(std::chrono::milliseconds(50));
  }
}

// Of a container that has our name: it is the one that we were about to make, or of an attempt that the host has given up, and is removed, unless that attempt has just done so itself.
std::optional<docker::Container> Attempt::take_name() {
  try {
    auto existing = services_.engine.inspect_container(name_);
    if (is_this_attempt(existing)) return existing;  // the answer to an earlier create was lost
    if (is_older_attempt(existing)) {
      services_.engine.remove_container(existing.id, true);
      return std::nullopt;
    }
  } catch (const docker::ContainerNotFoundError&) {
    return std::nullopt;
  }
  throw docker::ContainerCreationError(
      fmt::format("cannot create container '{}': another container has that name and is not of this attempt", name_),
      fmt::format("If nobody needs it, remove it on node {} with `docker rm -f {}`.", services_.facts.node, name_), ErrorKind::conflict);
}

void Attempt::start(const docker::Container& container) {
  image_id_ = container.image_id;
  {
    std::lock_guard lock(mutex_);
    container_ = container.id;
    if (detached_) throw Detached{};
    if (kill_requested_ && container.state.status == "created") throw Cancelled("the task was killed");
  }
  bool fresh = container.state.status == "created";
  files_.emplace(log_, !fresh);
  if (fresh) {
    try {
      services_.engine.start_container(container.id);
    } catch (const docker::DockerError& error) {
      explain_failed_start(error);
      throw;
    }
  }
  // By the engine's clock, which also says when it ended: by ours a short task would end before it started.
  started_at_ = fresh ? services_.engine.inspect_container(container.id).state.started_at : container.state.started_at;
  bool kill = false;
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::started;
    told_ = TaskState::running;
    kill = kill_requested_;
  }
  auto running = report_of(TaskState::running);
  running.started_at = started_at_;
  running.image_id = image_id_;
  running.tarball = tarball_;
  services_.reports.add(std::move(running));
  if (container.state.paused) report(TaskState::paused);
  if (kill) end_container();  // it was asked for while the container started
}

// The engine keeps 126 or 127 as the exit code of a program that could not be executed, as a shell would.
void Attempt::explain_failed_start(const docker::DockerError& error) {
  if (error.kind() == ErrorKind::unavailable) return;
  try {
    auto state = services_.engine.inspect_container(name_).state;
    if (state.exit_code != 0) start_exit_code_ = state.exit_code;
  } catch (const std::exception&) {
    // the error of the start is the one that counts
  }
}

// Reads the output until the container has ended. Docker may go away and come back meanwhile; the task does not care.
void Attempt::follow() {
  auto sink = [this](bool is_stderr, std::string_view bytes) { files_->consume(is_stderr, bytes); };
  std::string trouble;
  int failures = 0;
  set_time_limit();
  for (Backoff backoff;;) {
    trouble.clear();
    try {
      files_->begin_pass();
      services_.engine.follow_logs(container_, following_, sink);
    } catch (const docker::ContainerNotFoundError&) {
      throw;
    } catch (const Error& error) {
      trouble = error.fact();
      if (!following_.expired()) ++failures;
    }
    check_still_wanted();
    if (following_.expired()) {
      end_at_time_limit();
      continue;  // with what it wrote until then
    }
    try {
      state_ = services_.engine.inspect_container(container_).state;
      // A share that failed for a moment gets what it missed: the engine has it all, as long as the container exists.
      if (is_over(state_) && files_->failed() && ++failures < kFailedReads) continue;
      if (is_over(state_) && (trouble.empty() || failures >= kFailedReads)) break;
    } catch (const docker::DockerConnectionError& error) {
      trouble = error.fact();
    }
    if (failures == 1) log::warning("runner", "cannot follow a task; trying again", {{"task", id().str()}, {"reason", trouble}});
    pause_before_retry(backoff.next());
  }
  files_->close();
  output_problem_ = trouble.empty() ? files_->problem() : "The stored output may be incomplete: " + trouble + ".";
}

// By the engine's clock, so that an attempt that was adopted has no more time than others.
void Attempt::set_time_limit() {
  if (task_.time_limit.count() == 0) return;
  CancelToken token;
  const auto so_far = std::max<WallTime::duration>(wall_now() - parse_rfc3339(started_at_), WallTime::duration::zero());
  token.set_deadline(Clock::now() + std::chrono::duration_cast<Clock::duration>(task_.time_limit - so_far));
  std::lock_guard lock(mutex_);
  if (detached_) throw Detached{};
  following_ = token;
}

void Attempt::end_at_time_limit() {
  timed_out_ = true;
  {
    std::lock_guard lock(mutex_);
    if (detached_) throw Detached{};
    following_ = {};
  }
  log::info("runner", "the time of a task is up", {{"task", id().str()}});
  end_container();
}

TaskReport Attempt::outcome() const {
  auto [state, message] = judge(state_, kill_requested());
  if (timed_out_ && state != TaskState::killed) {
    state = TaskState::failed;
    message = "Ended because its time limit of " + human_duration(task_.time_limit) + " was over.";
  }
  auto report = report_of(state, join_sentences(message, output_problem_));
  report.exit_code = state_.exit_code;
  report.timed_out = timed_out_;
  report.started_at = started_at_;
  report.completed_at = state_.finished_at;
  report.image_id = image_id_;
  report.tarball = tarball_;
  return report;
}

void Attempt::clean_up() {
  std::string container;
  {
    std::lock_guard lock(mutex_);
    container = container_;
  }
  if (container.empty()) return;
  try {
    services_.engine.remove_container(container, true);
  } catch (const docker::ContainerNotFoundError&) {
    // somebody was faster
  } catch (const std::exception& error) {
    log::warning("runner", "a container is left over", {{"container", name_}, {"reason", error.what()}});
  }
}

void Attempt::check_still_wanted() const {
  std::lock_guard lock(mutex_);
  if (detached_) throw Detached{};
}

void Attempt::pause_before_retry(std::chrono::milliseconds time) const {
  for (auto end = Clock::now() + time; Clock::now() < end;) {
    check_still_wanted();
    std::this_thread::sleep_for(std::min<Clock::duration>(std::chrono::milliseconds(50), end - Clock::now()));
  }
}

}  // namespace riverbox::runner
