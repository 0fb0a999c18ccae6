#include "runner/executor.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::runner {

namespace {

constexpr auto kEnding = std::chrono::seconds(60);  // that a VPS may need, once it was told to

}  // namespace

Executor::Executor(Services services) : services_(std::move(services)) {}

Executor::~Executor() { stop(); }

void Executor::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  for (auto& [id, attempt] : attempts_) attempt->detach();
}

void Executor::adopt() {
  auto tasks = services_.attempts.all();
  const auto& naming = services_.facts.naming;
  std::set<std::string> containers;
  for (const auto& task : tasks) containers.insert(container_name(naming, task));
  services_.doors.tidy(naming.prefix() + "-task-", containers);  // those of VPSs stay as long as these do
  for (auto& task : tasks) launch(std::move(task), Attempt::Origin::adopted);
  control_.post([this] { look_for_leftovers(); });
}

void Executor::dispatch(TaskSpec task) { launch(std::move(task), Attempt::Origin::dispatched); }

void Executor::launch(TaskSpec task, Attempt::Origin origin) {
  const AttemptId id{task.id, task.attempt};
  const log::Scope scope("task", id.str());  // and of everything that is done for it
  const auto environment = task.environment;
  std::shared_ptr<Attempt> attempt;
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || attempts_.contains(id) || std::find(recent_.begin(), recent_.end(), id) != recent_.end()) return;
    attempt = std::make_shared<Attempt>(services_, std::move(task), origin);
    attempts_[id] = attempt;
  }
  log::info("runner", origin == Attempt::Origin::adopted ? "task found in the store" : "task accepted",
            {{"environment", environment}});
  bool posted = workers_.post([this, id, attempt] {
    if (!attempt->run()) return;  // the runner stops
    finished(id);
    attempt->clean_up();  // only now: the user should not wait for it
  });
  // Nothing was stored and nothing reported, so the host dispatches it again after the next link.
  if (!posted) {
    log::error("runner", "too many tasks wait on this node; a dispatch is dropped");
    std::lock_guard lock(mutex_);
    attempts_.erase(id);
  }
}

void Executor::finished(const AttemptId& id) {
  std::lock_guard lock(mutex_);
  attempts_.erase(id);
  recent_.push_back(id);
  if (recent_.size() > kRemembered) recent_.pop_front();
}

std::shared_ptr<Attempt> Executor::find(const AttemptId& id) const {
  std::lock_guard lock(mutex_);
  auto found = attempts_.find(id);
  return found == attempts_.end() ? nullptr : found->second;
}

void Executor::kill(const AttemptId& id) {
  const log::Scope scope("task", id.str());
  auto attempt = find(id);
  if (!attempt) return log::debug("runner", "kill of an attempt that is over or was never here");
  log::info("runner", "task is being killed");
  if (attempt->request_kill()) killers_.post([attempt] { attempt->end_container_when_free(); });
}

void Executor::host_is_silent(std::chrono::seconds silence) {
  std::lock_guard lock(mutex_);
  for (const auto& [id, attempt] : attempts_) attempt->host_is_silent(silence);
}

void Executor::control(const AttemptId& id, bool pause, Done done) {
  const log::Scope scope("task", id.str());
  auto attempt = find(id);
  if (!attempt) return done(false, "task " + id.task.str() + " does not run on this node");
  bool posted = control_.post([this, attempt, pause, done] {
    try {
      const std::string words = attempt->control(pause);
      services_.reports.after([done, words] { done(true, words); });  // who is answered finds the new state
    } catch (const std::exception& error) {
      done(false, error.what());
    }
  });
  if (!posted) done(false, "the runner is busy; try again");
}

void Executor::remove_vps(TaskId id, Done done) {
  const bool posted = control_.post([this, id, done] {
    try {
      remove_vps(id);
      done(true, {});
    } catch (const std::exception& error) {
      done(false, error.what());
    }
  });
  if (!posted) done(false, "the runner is busy; try again");
}

void Executor::remove_vps(TaskId id) {
  const auto is_there = [&] {
    std::lock_guard lock(mutex_);
    if (stopping_) throw Cancelled("the runner stops");
    return std::any_of(attempts_.begin(), attempts_.end(), [&](const auto& entry) { return entry.first.task == id; });
  };
  for (const auto give_up = std::chrono::steady_clock::now() + kEnding; is_there(); std::this_thread::sleep_for(std::chrono::milliseconds(50)))
    if (std::chrono::steady_clock::now() > give_up) throw Conflict("VPS " + id.str() + " has not ended yet");
  const auto turn = services_.snapshots.turns().wait_for(id, "it is being removed", [&](const std::string&) { is_there(); });
  VpsContainer(services_.engine, services_.facts, id).remove();
  services_.snapshots.remove_all(id);
  services_.doors.forget(services_.facts.naming.vps_container(id));
}

std::string Executor::container_of(const AttemptId& id) const {
  const auto attempt = find(id);
  if (!attempt) throw Conflict("task " + id.task.str() + " does not run on this node any more");
  return attempt->container();
}

void Executor::start_tunnel(const AttemptId& id) {
  const log::Scope scope("task", id.str());
  const auto attempt = find(id);
  if (!attempt) throw Conflict("task " + id.task.str() + " does not run on this node any more");
  attempt->start_tunnel();
}

std::unique_ptr<terminal::Shell> Executor::open_shell(const AttemptId& id, const terminal::OpenRequest& request) {
  const log::Scope scope("task", id.str());
  const auto attempt = find(id);
  if (!attempt) throw Conflict("task " + id.task.str() + " does not run on this node any more");
  return attempt->open_shell(request);
}

std::vector<KnownAttempt> Executor::unfinished() const {
  std::lock_guard lock(mutex_);
  std::vector<KnownAttempt> out;
  for (const auto& [id, attempt] : attempts_) out.push_back(attempt->known());
  return out;
}

std::vector<TaskId> Executor::running() const {
  std::lock_guard lock(mutex_);
  std::vector<TaskId> out;
  for (const auto& [id, attempt] : attempts_)
    if (attempt->is_started()) out.push_back(id.task);
  return out;
}

// ---- containers without an attempt

// A crash between a durable final report and the removal leaves a container behind. One that still runs, or is of another
// runner on the same daemon, is none of our business.
bool Executor::is_leftover(const docker::ContainerSummary& container) const {
  const auto& naming = services_.facts.naming;
  auto label = [&](const std::string& key) {
    auto found = container.labels.find(key);
    return found == container.labels.end() ? std::string() : found->second;
  };
  if (label(owner_label(naming)) != services_.facts.state_file || label(naming.label("task_type")) != kCommandType) return false;
  auto task = docker::extract_task_id_from_name(container.name);
  if (!task) return false;
  std::lock_guard lock(mutex_);
  return std::none_of(attempts_.begin(), attempts_.end(), [&](const auto& entry) { return entry.first.task == *task; });
}

void Executor::look_for_leftovers() {
  services_.snapshots.remove_leftovers();
  services_.processes.remove_leftovers([this](const std::string& id) {
    std::lock_guard lock(mutex_);
    return std::any_of(attempts_.begin(), attempts_.end(), [&](const auto& entry) { return services_.processes.id_of(entry.first) == id; });
  });
  try {
    for (const auto& container : services_.engine.list_containers(services_.facts.naming.label("managed") + "=true")) {
      if (!is_leftover(container)) continue;
      if (container.state == "running" || container.state == "paused" || container.state == "restarting") {
        log::warning("runner", "a task container runs that no attempt belongs to; it is left alone", {{"container", container.name}});
        continue;
      }
      log::info("runner", "removing the container of a task that is over", {{"container", container.name}});
      services_.engine.remove_container(container.id, true);
    }
  } catch (const std::exception& error) {
    log::debug("runner", "cannot look for leftover containers", {{"reason", error.what()}});
  }
}

}  // namespace riverbox::runner
