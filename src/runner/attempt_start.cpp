// How an attempt gets its container or process, finds it again, and starts it.
#include <fmt/format.h>

#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "runner/attempt.hpp"
#include "runner/backoff.hpp"
#include "runner/outcome.hpp"
#include "runner/program.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kDockerRestarts = std::chrono::seconds(30);
constexpr int kStartTries = 4;                            // a second between two of them
constexpr auto kNameGetsFree = std::chrono::seconds(30);  // the container of the attempt before may be on its way out

}  // namespace

// A Docker that is being restarted is away for seconds. Nothing has begun, so there is time.
docker::Container Attempt::make_container() {
  bool vanished = false;
  for (const auto give_up = Clock::now() + kDockerRestarts;; pause_before_retry(std::chrono::seconds(1))) {
    std::string image_id;
    try {
      if (!task_.runs_on_host()) image_id = image_for();
      check_still_wanted();
      if (kill_requested()) throw Cancelled("the task was killed");
      if (!why_stopped().empty()) throw Cancelled("the task was stopped");
      return task_.runs_on_host() ? services_.processes.make(task_) : create(image_id);
    } catch (const docker::DockerConnectionError&) {
      if (kill_requested() || !why_stopped().empty() || Clock::now() > give_up) throw;
    } catch (const docker::ImageNotFoundError&) {
      // It was there a moment ago: somebody has removed what no container uses (docker system prune -a). Whoever does that all the time is told.
      if (image_id.empty() || std::exchange(vanished, true)) throw;
    }
  }
}

// When Docker goes away meanwhile, nobody knows whether the task has started, until it is back.
void Attempt::start_surely(docker::Container container) {
  for (;;) {
    try {
      return start(container);
    } catch (const docker::DockerConnectionError& error) {
      log::warning("runner", "Docker went away while a task started; waiting for it", {{"task", id().str()}, {"reason", error.fact()}});
    }
    auto found = find_made();
    if (!found) throw docker::DockerError("Its container was removed while Docker was away.");
    container = std::move(*found);
  }
}

// While it goes down or comes up, Docker refuses what it would do a second later; a command that cannot be executed never can.
void Attempt::start_container(const std::string& container) {
  for (int failures = 0;;) {
    try {
      return runtime_.start(container);
    } catch (const docker::DockerConnectionError&) {
      throw;
    } catch (const docker::ContainerNotFoundError&) {
      throw;
    } catch (const docker::DockerError& error) {
      explain_failed_start(error);
      if (start_exit_code_ == 126 || start_exit_code_ == 127 || ++failures == kStartTries) throw;
    }
    start_exit_code_.reset();
    pause_before_retry(std::chrono::seconds(1));
    if (kill_requested() || !why_stopped().empty()) throw Cancelled("the task was ended");
    if (!task_.runs_on_host()) services_.network.ensure();  // pruned meanwhile
  }
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

std::optional<docker::Container> Attempt::find_made() { return task_.runs_on_host() ? find_process() : find_container(); }

std::optional<docker::Container> Attempt::find_process() {
  auto process = services_.processes.find(id());
  if (process) log::info("runner", "task adopted", {{"task", id().str()}, {"process", process->name}, {"state", process->state.status}});
  return process;
}

// The output files are made after the container and before its start. With them but without a container the task may have run, and
// nothing may run twice.
bool Attempt::had_container() const {
  try {
    return os::stat_beneath(log_->file(false)).has_value();
  } catch (const IoError&) {  // who cannot look must not take that for "no"
    return true;
  }
}

bool Attempt::is_this_attempt(const docker::Container& container) const {
  const auto& naming = services_.facts.naming;
  auto wanted = naming.task_labels(task_.id, task_type(task_), services_.facts.node, task_.attempt, task_.epoch);
  wanted.erase(naming.label("epoch"));  // of the link, not of the attempt
  if (task_.vps) wanted.erase(naming.label("attempt"));  // one container for all of them
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
  services_.network.ensure();
  place_program(services_.facts.program);
  if (replaced_) VpsContainer(services_.engine, services_.facts, task_.id).put_aside(*std::exchange(replaced_, std::nullopt));
  auto spec = container_spec(task_, image_id, services_.facts);
  spec.mounts.insert(spec.mounts.end(), volumes_.begin(), volumes_.end());
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
    if ((kill_requested_ || !why_stopped_.empty()) && container.state.status == "created") throw Cancelled("the task was ended");
  }
  // That of a VPS is started again by a new attempt; by the runner's own start it is only found.
  const bool is_new = container.state.status == "created";
  const bool again = task_.vps && origin_ == Origin::dispatched && !container.state.running && !is_new;
  const bool fresh = is_new || again;
  files_.emplace(log_, !fresh || again, task_.max_output_bytes);
  if (fresh) start_container(container.id);
  // By the engine's clock, which also says when it ended: by ours a short task would end before it started.
  started_at_ = fresh ? runtime_.state(container.id).started_at : container.state.started_at;
  bool kill = false;
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::started;
    told_ = TaskState::running;
    kill = kill_requested_;
  }
  auto running = report_of(TaskState::running, restored_);
  running.started_at = started_at_;
  running.image_id = image_id_;
  running.tarball = tarball_;
  services_.reports.add(std::move(running));
  const bool goes_on = task_.vps && services_.snapshots.was_at_commit(task_.id);
  if (container.state.paused && !goes_on) report(TaskState::paused);
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

}  // namespace riverbox::runner
