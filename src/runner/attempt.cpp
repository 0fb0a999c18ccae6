#include "runner/attempt.hpp"

#include <fmt/format.h>

#include <thread>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "runner/backoff.hpp"
#include "runner/outcome.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFailedReads = 3;  // of the output of a container that has ended
constexpr int kEndTries = 60;
constexpr int kEngineGoes = 20;  // seconds that it may need, after it has ended its containers
constexpr auto kRemovalTries = std::chrono::seconds(30);  // to go and to come back

bool is_over(const docker::ContainerState& state) { return !state.running && state.status != "created" && state.status != "restarting"; }

os::Place log_path(const Services& services, const std::string& relative) {
  try {
    return share_file(services.facts.shared_dir, relative);
  } catch (const InvalidInput&) {
    return {};  // prepare() makes it the attempt's failure
  }
}

}  // namespace

Attempt::Attempt(Services& services, TaskSpec task, Origin origin)
    : services_(services), task_(std::move(task)), origin_(origin), name_(container_name(services.facts.naming, task_)),
      containers_(services.engine),
      runtime_(task_.runs_on_host() ? static_cast<Runtime&>(services.processes) : containers_) {
  log_ = services_.logs.open(id(), log_path(services_, task_.stdout_file), log_path(services_, task_.stderr_file));
}

// ---- what other threads ask for

KnownAttempt Attempt::known() const {
  std::lock_guard lock(mutex_);
  return {id(), task_.epoch, told_, task_.gpus, task_.exclusive ? task_.cpus : std::vector<int>{}, task_.claim};
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

void Attempt::host_is_silent(std::chrono::seconds silence) {
  if (task_.lease.count() == 0 || silence < task_.lease) return;
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::over || kill_requested_ || !why_stopped_.empty()) return;
  log::warning("runner", "the host has not been heard for too long; a task that is not to run on without it is ended", {{"task", id().str()}});
  why_stopped_ = "Stopped by its node, which could not reach the host for " + human_duration(silence) + ".";
  syncing_.cancel();
  following_.cancel();
}

std::string Attempt::why_stopped() const {
  std::lock_guard lock(mutex_);
  return why_stopped_;
}

void Attempt::detach() {
  std::lock_guard lock(mutex_);
  detached_ = true;
  syncing_.cancel();
  following_.cancel();
  ending_.cancel();
}

void Attempt::end_container_when_free() {
  try {
    wait_for_vps();
  } catch (const Detached&) {
    return;
  }
  end_container();
}

bool Attempt::end_container() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(is_ending_, true)) return false;  // by another thread, in the same way
  }
  struct Ended {
    Attempt& self;
    ~Ended() {
      std::lock_guard lock(self.mutex_);
      self.is_ending_ = false;
    }
  } ended{*this};
  for (int tries = 0; tries < kEndTries;) {
    std::string container;
    CancelToken grace;
    grace.set_deadline(Clock::now() + task_.stop_grace);
    {
      std::lock_guard lock(mutex_);
      if (phase_ != Phase::started || detached_) return false;
      container = container_;
      ending_ = grace;
    }
    try {
      auto state = runtime_.state(container);
      if (is_over(state)) return false;
      runtime_.signal(container, task_.stop_signal);
      if (state.paused) runtime_.unpause(container);  // what is frozen cannot obey
      try {
        runtime_.wait(container, grace);
      } catch (const Timeout&) {
        runtime_.signal(container, "SIGKILL");
      }
      return true;
    } catch (const docker::ContainerNotFoundError&) {
      return false;
    } catch (const Cancelled&) {
      return false;
    } catch (const docker::DockerConnectionError&) {  // as long as it is away, nobody else can end it either
    } catch (const std::exception& error) {
      if (tries++ == 0) log::warning("runner", "cannot end a task; trying again", {{"task", id().str()}, {"reason", error.what()}});
    }
    try {
      pause_before_retry(std::chrono::seconds(1));
    } catch (const Detached&) {
      return false;
    }
  }
  return false;
}

std::string Attempt::running_container() const {
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::preparing) throw Conflict("task " + task_.id.str() + " has not started yet");
  if (phase_ == Phase::over || kill_requested_) throw Conflict("task " + task_.id.str() + " is ending");
  return container_;
}

std::string Attempt::control(bool pause) {
  const auto container = running_container();
  wait_for_vps();
  try {
    pause ? runtime_.pause(container) : runtime_.unpause(container);
  } catch (const docker::DockerError&) {
    auto state = runtime_.state(container);
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
  if (!task_.vps && !task_.runs_on_host()) services_.doors.forget(name_);  // before the next attempt can come
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::over;
  }
  services_.logs.finish(id());
  reserve_snapshot(last);
  if (last.completed_at.empty()) last.completed_at = to_rfc3339(wall_now());
  log::info("runner", "task ended", {{"task", id().str()},
                                     {"state", std::string(to_string(last.state))},
                                     {"exit_code", last.exit_code ? std::to_string(*last.exit_code) : "-"},
                                     {"reason", last.message}});
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
  if (auto why = why_stopped(); !why.empty() && !is_started()) return report_of(TaskState::stopped, std::move(why));
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
  if (!task_.runs_on_host()) services_.doors.open(name_, task_.vps);
  if (task_.vps) return prepare_vps();
  std::optional<docker::Container> container;
  if (origin_ == Origin::adopted) container = find_made();
  if (!container && origin_ == Origin::adopted && had_container())
    throw docker::DockerError(std::string(task_.runs_on_host() ? "What the runner knew of it" : "Its container") + " was removed while the runner was away; how far it came is in its output.");
  if (!container) {
    if (origin_ == Origin::dispatched) report(TaskState::assigning);
    container = make_container();
  }
  start_surely(std::move(*container));
}

// Reads the output until the container has ended. Docker may go away and come back meanwhile; the task does not care.
void Attempt::follow() {
  auto sink = [this](bool is_stderr, std::string_view bytes) { files_->consume(is_stderr, bytes); };
  std::string trouble;
  int failures = 0;
  int looks = 0;  // at a VPS that has ended
  set_time_limit();
  for (Backoff backoff;;) {
    trouble.clear();
    try {
      files_->begin_pass();
      runtime_.follow(container_, following_, sink);
    } catch (const docker::ContainerNotFoundError&) {
      throw;
    } catch (const Error& error) {
      trouble = error.fact();
      if (!following_.cancelled()) ++failures;
    }
    check_still_wanted();
    if (following_.cancelled()) {
      end_before_its_time();
      continue;  // with what it wrote until then
    }
    try {
      state_ = runtime_.state(container_);
      // A share that failed for a moment gets what it missed: the engine has it all, as long as the container exists.
      if (is_over(state_) && files_->failed() && ++failures < kFailedReads) continue;
      if (is_over(state_) && (trouble.empty() || failures >= kFailedReads)) {
        if (!may_come_back() || ++looks > kEngineGoes) break;
        pause_before_retry(std::chrono::seconds(1));
        continue;
      }
      looks = 0;
    } catch (const docker::DockerConnectionError& error) {
      trouble = error.fact();
    }
    if (failures == 1) log::warning("runner", "cannot follow a task; trying again", {{"task", id().str()}, {"reason", trouble}});
    pause_before_retry(backoff.next());
  }
  files_->close();
  output_problem_ = trouble.empty() ? files_->problem() : "The stored output may be incomplete: " + trouble + ".";
}

// A VPS that nobody told to end ends also because its engine does, which starts it again when it comes back.
bool Attempt::may_come_back() const { return task_.vps && !kill_requested() && why_stopped().empty(); }

// By the engine's clock, so that an attempt that was adopted has no more time than others.
void Attempt::set_time_limit() {
  if (task_.time_limit.count() == 0) return;
  CancelToken token;
  const auto so_far = std::max<WallTime::duration>(wall_now() - parse_rfc3339(started_at_), WallTime::duration::zero());
  token.set_deadline(Clock::now() + std::chrono::duration_cast<Clock::duration>(task_.time_limit - so_far));
  std::lock_guard lock(mutex_);
  if (detached_) throw Detached{};
  if (!why_stopped_.empty()) token.cancel();
  following_ = token;
}

// Its time is up, or it is not to run on without the host. What has ended by itself before we came has its own result.
void Attempt::end_before_its_time() {
  bool by_host = false;
  {
    std::lock_guard lock(mutex_);
    if (detached_) throw Detached{};
    by_host = !why_stopped_.empty();
    following_ = {};
  }
  if (!by_host) log::info("runner", "the time of a task is up", {{"task", id().str()}});
  wait_for_vps();
  if (end_container() && !timed_out_ && !stopped_) (by_host ? stopped_ : timed_out_) = true;
}

// Also when it was ended by an earlier run of this runner, which cannot tell any more.
bool Attempt::ran_out_of_time() const {
  if (timed_out_ || task_.time_limit.count() == 0 || started_at_.empty() || state_.finished_at.empty()) return timed_out_;
  return !stopped_ && parse_rfc3339(state_.finished_at) - parse_rfc3339(started_at_) >= task_.time_limit;
}

TaskReport Attempt::outcome() const {
  auto [state, message] = judge(state_, kill_requested(), !task_.runs_on_host());
  const bool timed_out = ran_out_of_time();
  if (timed_out && state != TaskState::killed) {
    state = TaskState::failed;
    message = "Ended because its time limit of " + human_duration(task_.time_limit) + " was over.";
  } else if (stopped_ && state != TaskState::killed) {
    state = TaskState::stopped;
    message = why_stopped();
  } else if (task_.vps) {  // however it ended: it can be started again
    state = TaskState::stopped;
    message = kill_requested() ? "Stopped on request." : "It ended by itself, or was stopped on its node.";
  }
  auto report = report_of(state, join_sentences(message, output_problem_));
  report.exit_code = state_.exit_code;
  report.timed_out = timed_out;
  report.started_at = started_at_;
  report.completed_at = state_.finished_at;
  report.image_id = image_id_;
  report.tarball = tarball_;
  return report;
}

void Attempt::clean_up() {
  if (task_.vps) return take_reserved_snapshot();
  std::string container;
  {
    std::lock_guard lock(mutex_);
    container = container_;
  }
  if (container.empty()) return;
  for (const auto give_up = Clock::now() + kRemovalTries;;) {
    try {
      return runtime_.remove(container);
    } catch (const docker::ContainerNotFoundError&) {
      return;  // somebody was faster
    } catch (const std::exception& error) {
      const bool is_away = dynamic_cast<const docker::DockerConnectionError*>(&error);
      if (!is_away || Clock::now() > give_up) {
        log::warning("runner", task_.runs_on_host() ? "something of a task is left over" : "a container is left over", {{"container", name_}, {"reason", error.what()}});
        return;
      }
    }
    try {
      pause_before_retry(std::chrono::seconds(1));
    } catch (const Detached&) {
      return;  // the next runner does it
    }
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
