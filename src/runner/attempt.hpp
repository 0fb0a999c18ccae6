// One attempt of a task, from its acceptance to its final report:
//
//   accepted -> syncing -> created -> started -> followed to its end -> reported -> removed
//
// What is created is a container, or, for a task without one, a process of this machine; a Runtime makes both look the same from there on.
// run() walks this on a thread of its own; kill, pause and resume come from other threads. What was true when the runner died is
// found again in the store (the attempt) and in Docker (the container with our labels) or in the folder of the process.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/cancel.hpp"
#include "base/task.hpp"
#include "docker/engine.hpp"
#include "environment/sync.hpp"
#include "runner/attempt_id.hpp"
#include "runner/container_spec.hpp"
#include "runner/doors.hpp"
#include "runner/host_processes.hpp"
#include "runner/log_files.hpp"
#include "runner/log_hub.hpp"
#include "runner/report_queue.hpp"
#include "runner/runtime.hpp"
#include "runner/snapshots.hpp"
#include "runner/task_network.hpp"
#include "runner/vps_container.hpp"
#include "store/runner_store.hpp"
#include "terminal/shell.hpp"

namespace riverbox::runner {

// What attempts work with; outlives them.
struct Services {
  docker::Engine& engine;
  environment::Syncer& syncer;
  store::AttemptRepository& attempts;
  ReportQueue& reports;
  LogHub& logs;
  HostProcesses& processes;
  TaskNetwork& network;
  Doors& doors;
  Snapshots& snapshots;
  NodeFacts facts;
  std::chrono::seconds sync_timeout{600};
};

class Attempt {
public:
  enum class Origin { dispatched, adopted };  // adopted: it was accepted by an earlier run, its container may exist
  Attempt(Services& services, TaskSpec task, Origin origin);

  AttemptId id() const { return {task_.id, task_.attempt}; }
  KnownAttempt known() const;
  bool is_started() const;

  // Blocking, once. Returns true when the final report is durable; false when the runner stops (the container lives on).
  bool run();
  // After run(): removes the container, whatever it takes; of a VPS, takes the snapshot of what has been stopped. Never throws.
  void clean_up();

  // Returns at once. True: there is a container to be ended, call end_container_when_free() on a worker.
  bool request_kill();
  // The host has not been heard for so long. What is to stop then is ended by run(), and reported as stopped.
  void host_is_silent(std::chrono::seconds silence);
  // The task's stop signal, its grace, SIGKILL; a paused container is thawed first. Blocking. Never throws.
  // Returns whether it found the task running, and nobody else at it.
  bool end_container();
  // The same, once no snapshot is being taken of it any more: that is of a container that stands still.
  void end_container_when_free();
  // Pause or resume. Blocking. Returns what to tell; throws Conflict when it is not running, docker errors.
  std::string control(bool pause);
  // The name of its container. Throws Conflict when it is not running or has none.
  std::string container() const;
  // What a tunnel needs in there. Blocking. Throws as above, docker errors.
  void start_tunnel();
  // A shell in its container, for a terminal. Blocking. Throws Conflict when it is not running or has no container, docker errors.
  std::unique_ptr<terminal::Shell> open_shell(const terminal::OpenRequest& request);
  // The runner stops: run() returns soon.
  void detach();

private:
  struct Detached {};
  enum class Phase { preparing, started, over };

  TaskReport execute();
  void prepare();
  void prepare_vps();
  std::optional<docker::Container> find_vps_container(VpsContainer& place);
  void begin_anew(VpsContainer& place, std::optional<docker::Container> old);
  std::int64_t snapshot_in_its_place();
  void wait_for_vps() const;
  void reserve_snapshot(const TaskReport& last);
  void take_reserved_snapshot();
  std::optional<docker::Container> find_container();
  std::optional<docker::Container> find_process();
  std::optional<docker::Container> find_made();  // the one or the other
  bool had_container() const;
  docker::Container make_container();
  void start_surely(docker::Container container);
  void start_container(const std::string& container);
  std::string image_for();                          // its ID, once it is here
  std::string bring_up_to_date(const CancelToken& token);
  std::string pull_image(const CancelToken& token);
  void report_progress(std::string_view step, std::uint64_t bytes, std::uint64_t total_bytes);
  docker::Container create(const std::string& image_id);
  std::optional<docker::Container> take_name();
  void start(const docker::Container& container);
  void explain_failed_start(const docker::DockerError& error);
  void follow();
  void set_time_limit();
  void end_before_its_time();
  bool may_come_back() const;
  bool ran_out_of_time() const;
  TaskReport outcome() const;
  TaskReport report_of(TaskState state, std::string message = {}) const;
  void report(TaskState state, std::string message = {});
  bool is_this_attempt(const docker::Container& container) const;
  bool is_older_attempt(const docker::Container& container) const;
  void check_still_wanted() const;
  void pause_before_retry(std::chrono::milliseconds time) const;
  bool kill_requested() const;
  std::string running_container() const;  // throws Conflict when there is none
  std::string why_stopped() const;  // empty: it is not

  Services& services_;
  const TaskSpec task_;
  const Origin origin_;
  const std::string name_;  // of the container
  ContainerRuntime containers_;
  Runtime& runtime_;        // of this attempt
  std::shared_ptr<AttemptLog> log_;

  // Only run()'s thread touches these.
  std::optional<LogFiles> files_;
  docker::ContainerState state_;       // as last seen
  std::string image_id_, tarball_, started_at_;
  std::optional<int> start_exit_code_;  // of a container that could not be started
  std::string output_problem_;
  std::chrono::steady_clock::time_point progress_reported_{};
  bool timed_out_ = false, stopped_ = false;  // ended by us because of that
  // Of a VPS that gets a new container.
  std::optional<std::int64_t> from_snapshot_;  // else its environment's
  std::optional<docker::Container> replaced_;  // the old one, until it stands aside
  std::vector<docker::Mount> volumes_;         // of the old one, which the new one takes over
  std::string restored_;                       // for its user: that it is not as it was left
  std::optional<VpsTurns::Turn> snapshot_turn_;  // for the snapshot of what has been stopped

  mutable std::mutex mutex_;  // guards what follows; never held across I/O
  Phase phase_ = Phase::preparing;
  std::string container_;     // its ID, or that of the process, once there is one
  TaskState told_ = TaskState::assigning;  // by the last report
  bool kill_requested_ = false, detached_ = false, is_ending_ = false;
  std::string why_stopped_;
  CancelToken syncing_, following_, ending_;
};

}  // namespace riverbox::runner
