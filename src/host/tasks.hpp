// Tasks from submission to their final state. Every call blocks on the store and runs on the one "state" worker of the host, so that
// reports, submissions and kills are applied one after the other.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "host/nodes.hpp"
#include "host/scheduler.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

// A submission after parsing; `spec` holds what all its tasks share.
struct Submission {
  TaskSpec spec;
  std::string version;          // of the environment, as the user named it; empty: the newest, also when the task starts later
  std::vector<Target> targets;  // empty: the host chooses
};
struct FailedTarget {
  std::string target, reason;
};
struct Submitted {
  std::vector<store::TaskRecord> tasks;
  std::vector<FailedTarget> failed;
};

// What the runner says it has accepted and not finished.
struct KnownAttempt {
  TaskId id;
  int attempt = 1;
  std::int64_t epoch = 1;
};

class Tasks {
public:
  // `log_file(id, is_stderr)`: where the output goes, relative to the share.
  Tasks(store::TaskRepository& repository, Nodes& nodes, std::function<std::string(TaskId, bool is_stderr)> log_file);

  // Durable when it returns. Throws Unavailable when no target can take it; the message holds every reason.
  Submitted submit(const Submission& submission);
  // Returns whether it changed anything; either way it may be acknowledged.
  bool apply(const TaskReport& report);
  // Throws NotFound, Conflict when it is over. Marks it killed at once; the runner is told, now or when it is back.
  store::TaskRecord kill(TaskId id);
  // pause | resume. Throws NotFound, Conflict in another state, Unavailable when the node is not connected.
  void control(TaskId id, const std::string& action, std::function<void(bool ok, std::string message)> done);
  store::TaskRecord get(TaskId id);
  std::vector<store::TaskRecord> list(std::optional<TaskState> state, int limit, int offset);
  // After the outbox of a runner has been replayed: dispatch again what never arrived, end what was killed meanwhile, mark what is gone as lost.
  void reconcile(const std::string& node, const std::vector<KnownAttempt>& attempts);

  // `listener` is called on the state worker with the record after each change. Thread-safe.
  using Listener = std::function<void(const store::TaskRecord&)>;
  std::uint64_t subscribe(TaskId id, Listener listener);
  void unsubscribe(std::uint64_t subscription);

  std::map<std::string, Usage> usage();  // what unfinished tasks hold, by node

private:
  void notify(TaskId id);

  store::TaskRepository& repository_;
  Nodes& nodes_;
  std::function<std::string(TaskId, bool)> log_file_;
  std::mutex mutex_;  // guards the listeners only
  struct Subscription { TaskId task; Listener listener; };
  std::map<std::uint64_t, Subscription> listeners_;
  std::uint64_t next_subscription_ = 1;
};

}  // namespace riverbox::host
