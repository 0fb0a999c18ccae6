// The host's tables, one repository class per table. What changes in them is told in `events`, in the same transaction.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "store/database.hpp"

namespace riverbox::store {

extern const std::vector<std::string_view> kHostMigrations;

struct NodeRecord {
  std::string hostname;
  int total_cores = 0;
  std::uint64_t total_memory_bytes = 0;
  std::string numa_json = "null", gpu_json = "[]";  // as HakuRiver shows them
  std::string version;                              // of the runner
  std::string last_seen;                            // RFC 3339 or empty
  std::int64_t epoch = 0;                           // of the latest link
  bool draining = false;                            // nothing new starts there
};

class NodeRepository {
public:
  explicit NodeRepository(Database& db) : db_(db) {}
  // Inserts or updates; returns the new epoch: greater than any before, also of a node that was removed and has tasks. `comes_online`: that is an event.
  std::int64_t upsert_and_advance_epoch(const NodeRecord& node, bool comes_online = false);
  // Another event, which changes nothing here.
  void record(const std::string& hostname, bool online, const std::string& why);
  void set_draining(const std::string& hostname, bool draining);
  void remove(const std::string& hostname);
  std::vector<NodeRecord> all();

private:
  Database& db_;
};

struct TaskRecord {
  TaskSpec spec;
  std::string batch_id;
  std::string target;             // the node that was asked for; empty: any
  std::string node;               // that it has; while it waits, its target
  TaskState state = TaskState::pending;
  std::optional<int> exit_code;
  std::string message;            // error or progress
  std::string image_id, tarball;  // what it ran in; empty until it is known
  std::string placement;          // why this node, for people
  std::string fingerprint;        // of the newest version when it was submitted, if it was known: nodes that hold it are preferred
  std::string submitted_at, started_at, completed_at;  // RFC 3339 or empty
  std::string owner;              // the user who submitted it; empty: nobody had to say who they are
};

// What a list of tasks is to show: those of which all is true that is asked for.
struct TaskQuery {
  std::vector<TaskState> states;           // one of these; empty: any
  std::optional<std::string> owner, node;  // of one that waits the node that was asked for
  std::optional<std::string> environment;  // by its name, in whatever version
  std::string text;                        // the beginning of the id, or a part of the name or the command (ASCII letters: large or small); empty: any
  std::optional<TaskId> before;            // older than this one
  int limit = 100, offset = 0;
};

class TaskRepository {
public:
  explicit TaskRepository(Database& db) : db_(db) {}
  // One transaction, durable on return. `client_id`: what the client calls this batch; empty: nothing.
  void insert(const std::vector<TaskRecord>& batch, const std::string& client_id = {});
  // Those whose id is not known yet; returns them. One transaction.
  std::vector<TaskId> add_missing(const std::vector<TaskRecord>& tasks);
  std::vector<TaskRecord> submitted_as(const std::string& client_id);  // empty: nothing was
  std::optional<TaskRecord> find(TaskId id);
  // Newest first. Of a hundred thousand a page takes milliseconds, a text that few have tens of them.
  std::vector<TaskRecord> list(const TaskQuery& query);
  // Of every state; the tasks of one owner, or of all.
  std::vector<std::pair<TaskState, std::uint64_t>> count_by_state(const std::optional<std::string>& owner = {});
  std::vector<TaskRecord> of_batch(const std::string& batch_id);                        // oldest first
  std::vector<TaskRecord> unfinished();                                                 // oldest first
  std::vector<TaskRecord> unfinished_on(const std::string& node);
  std::vector<TaskRecord> unfinished_of(const std::string& environment);
  // Gives tasks that wait a place: node, placement, epoch and spec of each become those of the record. One transaction; one that does not wait any more is left as it is, and
  // is not among those returned.
  std::vector<TaskId> assign(const std::vector<TaskRecord>& batch);
  // Lets a task whose attempt failed wait again: attempt and spec become those of the record, everything else that the attempt before has left goes. Compare-and-set: false
  // when it has another attempt by now, or is in a state that none follows.
  bool requeue(const TaskRecord& task);
  // The nodes that were given a task of this environment since then (RFC 3339), by name.
  std::vector<std::string> nodes_that_used(const std::string& environment, const std::string& since);
  // Compare-and-set: changes the row only if its state is one of `from`; returns whether it did. Sets started_at once.
  bool transition(TaskId id, const std::vector<TaskState>& from, const TaskReport& to);

  // Tasks that ended before that time (RFC 3339), and whose output has not been removed.
  struct OldOutput {
    std::string completed_at;  // empty: before all
    TaskId id;
  };
  // Those that follow on `after`, the longest ended first.
  std::vector<TaskRecord> with_old_output(const std::string& ended_before, const OldOutput& after, int most);
  void output_is_removed(const std::vector<TaskId>& ids);
  // Removes tasks that ended before that time, unless an unfinished one is to follow them. Returns how many; one transaction.
  size_t remove_old(const std::string& ended_before, bool only_without_output, int most);

private:
  // Oldest first. `condition` has a "?" for `value`, or neither is there.
  std::vector<TaskRecord> where(const std::string& condition, const std::optional<std::string>& value = {});

  Database& db_;
};

// Publishes that are under way, for recovery after a crash.
struct PublicationRecord {
  std::string name, container;
  bool was_running = false;
};
class PublicationRepository {
public:
  explicit PublicationRepository(Database& db) : db_(db) {}
  void record(const PublicationRecord& publication);
  void forget(const std::string& name);
  std::vector<PublicationRecord> all();

private:
  Database& db_;
};

}  // namespace riverbox::store
