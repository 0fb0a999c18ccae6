// The machines with a runner: who they are, whether they are connected, how loaded. Thread-safe; no call blocks on a link.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "environment/holdings.hpp"
#include "host/cpus.hpp"
#include "host/load_history.hpp"
#include "os/topology.hpp"
#include "store/host_store.hpp"

namespace riverbox {
struct SnapshotAnswer;
struct SnapshotOrder;
}

namespace riverbox::terminal {
struct RelayOptions;
}

namespace riverbox::host {

struct StepProgress;

// An environment that a node shall have before a task asks for it.
struct SyncOrder {
  std::string environment, tarball;
  bool exact = false;  // this tarball and no newer one
  bool idle = false;   // nobody waits: after everything else
};
struct SyncAnswer {
  bool ok = false;
  std::string message;  // why not
  std::string tarball, way;  // the version that is there; of a load: "thin" or "full"
  bool loaded = false;
  std::uint64_t bytes_read = 0;  // of the share
};

struct OutputOrder {
  TaskId id;
  int attempt = 1;
  std::string file;                         // relative to the share
  std::optional<std::string> range;         // a Range header
  std::optional<std::uint64_t> last_lines;  // goes before it
};

// A terminal of a task that clients share.
struct SharedTerminal {
  std::string name, since;  // RFC 3339
  int clients = 0, watchers = 0, rows = 0, columns = 0;
};
struct SessionList {
  bool ok = false;
  std::string message;  // why not
  std::vector<SharedTerminal> sessions = {};
};

// The host's end of a link. Every call is thread-safe and returns at once.
class RunnerLink {
public:
  virtual ~RunnerLink() = default;
  virtual void dispatch(const TaskSpec& spec) = 0;
  virtual void kill(TaskId id, int attempt) = 0;
  // Ends it: the runner, if it lives, dials again and says what it has.
  virtual void drop() = 0;
  // `done(ok, message)` exactly once, also when the link breaks.
  virtual void control(const std::string& action, TaskId id, int attempt, std::function<void(bool, std::string)> done) = 0;
  // `progress` any number of times, then `done` exactly once, also when the link breaks. A runner that is too old never answers.
  virtual void sync(const SyncOrder& order, std::function<void(std::uint64_t bytes, std::uint64_t total_bytes)> progress,
                    std::function<void(SyncAnswer)> done) = 0;
  virtual void open_logs(const std::string& stream, TaskId id, int attempt, std::uint64_t stdout_from, std::uint64_t stderr_from) = 0;
  // A part of one file of the share as the runner's machine sees it.
  virtual void open_output(const std::string& /* stream */, const OutputOrder& /* order */) {}
  // Where NodeDescription::snapshots says so. `progress` any number of times, then `done` exactly once, also when the link breaks.
  virtual void snapshots(const SnapshotOrder& /* order */, const std::function<void(const StepProgress&)>& /* progress */, const std::function<void(const SnapshotAnswer&)>& /* done */) {}
  // The sessions in the container of an attempt that clients share; `done` exactly once, also when the link breaks. Only where NodeDescription::sessions says so.
  virtual void list_sessions(TaskId /* id */, int /* attempt */, std::function<void(SessionList)> /* done */) {}
  // A shell in the container of an attempt. Only where NodeDescription::terminals says so: an older runner does not answer.
  virtual void open_terminal(const std::string& /* stream */, TaskId /* id */, int /* attempt */, const terminal::RelayOptions& /* options */) {}
  // A way to the ports of the container of an attempt. Only where NodeDescription::forwards says so.
  virtual void open_forward(const std::string& /* stream */, TaskId /* id */, int /* attempt */) {}
};

// What a runner says of itself in its hello.
struct NodeDescription {
  std::string hostname, version, address;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::map<int, os::NumaNode> numa;
  std::vector<os::Gpu> gpus;
  std::shared_ptr<const Cpus> cpus = {};  // null: not told
  std::optional<bool> host_tasks;  // whether it takes tasks without a container; nullopt: it has not connected yet
  std::optional<bool> vpses;       // whether its runner knows what a VPS is; likewise
  bool terminals = false;          // whether it opens terminals in tasks
  bool forwards = false;           // whether it opens ways to ports of tasks
  bool snapshots = false;          // whether it takes snapshots of VPSs
  bool sessions = false;           // whether they may be shared
};

struct NodeView {
  NodeDescription description;
  bool online = false;
  bool draining = false;             // nothing new starts there
  std::int64_t epoch = 0;            // of its latest link
  std::string last_seen;             // RFC 3339 or empty
  std::chrono::steady_clock::duration silent_for{};  // as long as this program has been listening
  os::Load load;
  std::shared_ptr<RunnerLink> link;  // null when not connected
  std::vector<environment::Holding> holdings;  // what its daemon has, as far as it was told
};

// How busy the nodes were, minute after minute: all on the same minutes, the first of them since the epoch.
struct LoadsOfNodes {
  std::int64_t first_minute = 0;
  std::map<std::string, std::vector<LoadHistory::Minute>> nodes;  // of which something was heard in that time
};

class Nodes {
public:
  // Loads the nodes known from earlier runs, all of them offline.
  Nodes(store::NodeRepository& repository, std::chrono::seconds heartbeat_interval, int timeout_factor, Clock clock = {});

  // Blocking (store). Returns the new epoch. Throws Conflict when another link of that name is alive.
  std::int64_t connect(const NodeDescription& description, std::shared_ptr<RunnerLink> link);
  void disconnect(const std::string& hostname, const RunnerLink* link);  // ignored if `link` is not the current one
  bool is_current(const std::string& hostname, const RunnerLink* link) const;  // else another link has taken its place, and what it says is old
  // True: it is online again, after a silence. Blocking (store) then. `cores_in_use`: by tasks, as the host counts them.
  bool heartbeat(const std::string& hostname, const RunnerLink* link, const os::Load& load, std::vector<os::Gpu> gpus, int cores_in_use = 0);
  // What was heard since this program has started, at most so long ago and not more than a day. The last minute is the one that is under way, once something was heard in it.
  LoadsOfNodes loads(std::chrono::minutes time) const;
  // The silence of all nodes counts from now: this program has not been listening.
  void begin_listening();
  // Tells, once, of nodes that are not online any more because nothing has been heard of them. Blocking (store); state worker.
  void note_silence();
  void hold(const std::string& hostname, const RunnerLink* link, std::vector<environment::Holding> holdings);
  // Blocking (store), and so is remove(). Both throw NotFound.
  void set_draining(const std::string& hostname, bool draining);
  // Throws Conflict while it is connected: it would be back at once.
  void remove(const std::string& hostname);
  // The connected nodes whose daemon has this version, by name.
  std::vector<std::string> holders(const environment::Holding& version) const;
  std::vector<NodeView> all() const;      // by name
  std::optional<NodeView> find(const std::string& hostname) const;
  NodeView get(const std::string& hostname) const;  // throws NotFound
  // How often a node has come or gone: another number after each time.
  std::uint64_t changes() const { return changes_; }
  std::chrono::seconds heartbeat_interval() const { return interval_; }

private:
  struct Node {
    NodeDescription description;
    std::shared_ptr<RunnerLink> link;
    std::chrono::steady_clock::time_point heard;
    std::int64_t epoch = 0;
    std::string last_seen;
    os::Load load;
    LoadHistory history;
    std::vector<environment::Holding> holdings;
    bool draining = false;
    bool told_online = false;  // by the last event
  };
  NodeView view(const Node& node) const;
  void tell(const std::string& hostname, bool online, const std::string& why);

  store::NodeRepository& repository_;
  std::chrono::seconds interval_;
  std::chrono::seconds timeout_;
  Clock clock_;
  std::atomic<std::uint64_t> changes_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Node> nodes_;
};

}  // namespace riverbox::host
