// Tasks from submission to their final state. Every call blocks on the store and runs on the one "state" worker of the host, so that
// reports, submissions and kills are applied one after the other.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/task.hpp"
#include "host/dependencies.hpp"
#include "host/ledger.hpp"
#include "host/nodes.hpp"
#include "host/queue.hpp"
#include "host/scheduler.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

// A submission after parsing; `spec` holds what all its tasks share.
struct Submission {
  TaskSpec spec;
  std::string version;          // of the environment, as the user named it; empty: the newest, also when the task starts later
  std::vector<Target> targets;  // empty: the host chooses
  bool may_wait = true;         // else what does not fit now is refused
  std::string image;            // fingerprint of the version, when it is known; nodes that hold it are preferred
  std::string owner;            // the user who submits it; empty: nobody had to say who they are
};
// The same once more: in the version that was asked for, else in the newest one.
Submission resubmission(const store::TaskRecord& task);
struct FailedTarget {
  std::string target, reason;
};
struct Submitted {
  std::vector<store::TaskRecord> tasks;
  std::vector<FailedTarget> failed;
};

NotFound no_such_task(TaskId id);

// What the runner says it has accepted and not finished.
struct KnownAttempt {
  TaskId id;
  int attempt = 1;
  std::int64_t epoch = 1;
  std::optional<TaskState> state = {};  // older runners say neither this
  std::optional<std::vector<int>> gpus = {};  // nor which it holds
  std::optional<std::vector<int>> cpus = {};  // nor these
  std::string claim = {};                     // nor this
};

class Tasks {
public:
  // `log_file`: where the output goes, relative to the share. Reads what is unfinished.
  using LogFile = std::function<std::string(TaskId id, int attempt, bool is_stderr)>;
  Tasks(store::TaskRepository& repository, Nodes& nodes, LogFile log_file, Clock clock = {});

  // Durable when it returns, in one transaction. What fits nowhere now waits, unless it may not. Throws Unavailable when there is no task for any target; the message holds every
  // reason. Of several submissions all are taken, or none.
  Submitted submit(const std::vector<Submission>& submissions, const std::string& client_id = {});
  // Gives waiting tasks the places that have become free: call it when a node has come, or can take more than before.
  void schedule();
  // Why a task is where it is, for people.
  struct Explanation {
    store::TaskRecord task;
    std::optional<Queue::Explanation> waiting;  // while it waits for a place
    std::vector<TaskId> after;                  // while it waits for these
  };
  Explanation explain(TaskId id);
  // Whether this node can have something to say of this attempt: it was given it, or holds a place for it.
  bool is_on(const std::string& node, TaskId id, int attempt);
  // Returns whether it changed anything; either way it may be acknowledged.
  bool apply(const TaskReport& report);
  // Throws NotFound, Conflict when it is over. Marks it killed at once, a VPS stopped; the runner is told, now or when it is back.
  store::TaskRecord kill(TaskId id);
  // The same of a VPS, which can be started again afterwards.
  store::TaskRecord stop(TaskId id);
  // It has ended as far as we are concerned, and its node has not said so yet.
  bool is_ending(const store::TaskRecord& task) const { return is_final(task.state) && held_.holds({task.spec.id, task.spec.attempt}); }
  // A VPS that has ended waits for its place again, on the node where its container is. `started` writes it down, or says false when somebody else was faster.
  void start_again(store::TaskRecord vps, const std::function<bool(const store::TaskRecord&)>& started);
  // All of its batch that are not over; returns them. Throws as kill() does.
  std::vector<TaskId> kill_batch(TaskId id);
  // pause | resume. Throws NotFound, Conflict in another state, Unavailable when the node is not connected.
  void control(TaskId id, const std::string& action, std::function<void(bool ok, std::string message)> done);
  store::TaskRecord get(TaskId id);
  std::vector<store::TaskRecord> list(const store::TaskQuery& query) { return repository_.list(query); }  // newest first
  // A runner has come and says what it has: all of that holds its place until it has ended, whatever has been thought of it meanwhile. Before anything else may start there.
  void take_in(const std::string& node, const std::vector<KnownAttempt>& attempts);
  // After the outbox of a runner has been replayed: dispatch again what never arrived, end what was killed meanwhile, mark what is gone as lost.
  void reconcile(const std::string& node, const std::vector<KnownAttempt>& attempts);

  // Calls what is on nodes lost that have not been heard of for so long; of what the node ends by itself without us, not before it has surely done so. When one is back, it
  // tells what has really become of its tasks.
  void call_lost(std::chrono::seconds after);
  // Forgets a node that is not connected. Throws NotFound, Conflict while it is, or has unfinished tasks and `force` is not said; with it they fail or are lost.
  void remove_node(const std::string& hostname, bool force);
  std::vector<store::TaskRecord> unfinished_on(const std::string& hostname) { return repository_.unfinished_on(hostname); }

  // `listener` is called on the state worker with the record after each change. Thread-safe.
  using Listener = std::function<void(const store::TaskRecord&)>;
  std::uint64_t subscribe(TaskId id, Listener listener);
  void unsubscribe(std::uint64_t subscription);

  const Usage& usage_of(const std::string& node) const { return held_.of(node); }  // what unfinished tasks hold there

private:
  // The records of what was submitted, and what each of them waits for first.
  struct Request {
    std::vector<store::TaskRecord> tasks;
    std::vector<TaskId> after;
  };
  std::vector<Machine> machines() const;
  void enqueue(const store::TaskRecord& task, const std::string& failed_on = {});
  std::vector<store::TaskRecord> enqueue(std::vector<Request>& requests);
  Request requested(const Submission& submission, const std::vector<Machine>& machines, std::vector<FailedTarget>& failed);
  void begin_attempt(TaskSpec& spec) const;
  // Node, epoch and GPUs of a start into the record; what it takes is held from then on.
  void take_place(store::TaskRecord& task, const Queue::Start& start);
  void refuse_waiting(std::vector<store::TaskRecord>& tasks, const std::vector<Machine>& machines, std::vector<FailedTarget>& failed);
  void start_waiting(const std::vector<Queue::Start>& starts);
  void dispatch(const store::TaskRecord& task);
  // A task that waits, as far as we know, while its node has it already. False: it does not wait, or the node was not given it.
  bool recover(const std::string& node, const KnownAttempt& attempt, store::TaskRecord task);
  void found_again(TaskId id);
  TaskReport report_of(const store::TaskRecord& task, TaskState state, std::string message) const;  // of the host itself
  // After an attempt that failed or is lost. True: the task waits for another one.
  bool try_again(const TaskReport& report);
  store::TaskRecord end(TaskId id, TaskState as, std::string message);
  // What it held is free again; what was to follow it does, or never will.
  void ended(TaskId id, int attempt, TaskState state);
  void follow_up(TaskId id, TaskState state);
  void give_up(TaskId id, TaskId on);  // a task whose predecessor did not complete
  struct Predecessors {
    std::vector<TaskId> open;        // have not completed yet
    std::optional<TaskId> hopeless;  // never will
  };
  Predecessors predecessors_of(const TaskSpec& spec);
  void read_back();       // queue and ledger as the store has them
  // What is done for many tasks is followed by one pass through the queue, not by one for each.
  template <typename Work>
  void in_one_pass(const Work& work);
  void notify(TaskId id);

  store::TaskRepository& repository_;
  Nodes& nodes_;
  LogFile log_file_;
  Clock clock_;
  Queue queue_;
  Dependencies dependencies_;
  Ledger held_;
  bool postponed_ = false;  // schedule() is called later
  std::mutex mutex_;  // guards the listeners only
  struct Subscription { TaskId task; Listener listener; };
  std::map<std::uint64_t, Subscription> listeners_;
  std::uint64_t next_subscription_ = 1;
};

}  // namespace riverbox::host
