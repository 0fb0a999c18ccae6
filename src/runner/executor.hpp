// All attempts of this runner: takes dispatches, hands kills and pauses to the right one, adopts those of an earlier run.
// Thread-safe; only the destructor blocks.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "os/worker_pool.hpp"
#include "runner/attempt.hpp"

namespace riverbox::runner {

class Executor {
public:
  explicit Executor(Services services);
  ~Executor();  // stop(), then joins

  // Takes up what the store knows, once, before the first dispatch. Blocking (store), Docker is asked later.
  void adopt();
  // Idempotent: an attempt that is known, or was a while ago, is not started again.
  void dispatch(TaskSpec task);
  // Unknown: nothing, its report is on the way.
  void kill(const AttemptId& id);
  // The host has not been heard for so long: what is not to run on without it ends.
  void host_is_silent(std::chrono::seconds silence);
  // `done(ok, message)` once, on a worker; not at all when the runner stops first.
  using Done = std::function<void(bool ok, std::string message)>;
  void control(const AttemptId& id, bool pause, Done done);
  // The container of a VPS that is no more. Fails while it runs.
  void remove_vps(TaskId id, Done done);
  // The name of the container of an attempt, for streams into it. Throws Conflict when it does not run.
  std::string container_of(const AttemptId& id) const;
  // Starts what a tunnel needs in it; a VPS has it by itself. Blocking (Docker). Throws Conflict, docker errors.
  void start_tunnel(const AttemptId& id);
  // A shell in the container of an attempt. Blocking (Docker). Throws Conflict when it does not run, docker errors.
  std::unique_ptr<terminal::Shell> open_shell(const AttemptId& id, const terminal::OpenRequest& request);

  std::vector<KnownAttempt> unfinished() const;  // accepted, final report not yet durable
  std::vector<TaskId> running() const;
  // Takes nothing more and lets go of the containers; they live on.
  void stop();

private:
  void remove_vps(TaskId id);
  void launch(TaskSpec task, Attempt::Origin origin);
  void finished(const AttemptId& id);
  std::shared_ptr<Attempt> find(const AttemptId& id) const;
  void look_for_leftovers();
  bool is_leftover(const docker::ContainerSummary& container) const;

  static constexpr size_t kRemembered = 1024;
  Services services_;
  mutable std::mutex mutex_;  // never held across I/O
  std::map<AttemptId, std::shared_ptr<Attempt>> attempts_;
  std::deque<AttemptId> recent_;  // finished ones, for the second copy of a dispatch
  bool stopping_ = false;
  // A thread per attempt, because it sleeps in two blocking calls for hours: the stream of the output and the end of the container. It
  // costs about 100 KB while it does. More than this many wait for their turn.
  os::WorkerPool workers_{"attempts", 1024, 1u << 16};
  os::WorkerPool control_{"control", 32, 1u << 16};  // pause, resume
  os::WorkerPool killers_{"kill", 1024, 1u << 16};   // each for as long as the task's grace
};

}  // namespace riverbox::runner
