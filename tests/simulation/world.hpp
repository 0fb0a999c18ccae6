// A host with its database, machines with runners, people who submit and kill: what really runs is host::Tasks, host::Nodes and the repositories; the rest is simulated, and so
// is time. A seed decides about everything.
#pragma once
#include <memory>
#include <optional>
#include <set>

#include "ground.hpp"
#include "host/tasks.hpp"
#include "runner.hpp"
#include "store/host_store.hpp"

namespace riverbox::simulation {

struct Settings {
  std::uint64_t seed = 1;
  int nodes = 0, tasks = 0;  // 0: the seed chooses, and chooses few
};

struct Figures {
  size_t tasks = 0, starts = 0, faults = 0, host_restarts = 0;
  Time lasted{0};
};

class World {
public:
  World(Settings settings, Trail& trail);
  // From the first submission to the last end. Throws Violation.
  Figures run();

  // ---- for links and runners
  Events& events() { return events_; }
  Random& random() { return random_; }
  Time now() const { return events_.now(); }
  WallTime wall() const;  // steps, forward and back
  std::chrono::seconds heartbeat_interval() const { return kHeartbeat; }
  host::Nodes* nodes() { return nodes_.get(); }  // null while the host is away, and so is tasks()
  host::Tasks* tasks() { return tasks_.get(); }
  bool is_dying() const { return dying_; }
  // One thing after the other, as on the state worker; and sometimes the host crashes before it has told anybody of it.
  template <class Work>
  void at_host(Work work) {
    if (!tasks_) return;
    dying_ = chaos_ && random_.chance(host_crashes_);
    work();
    if (dying_) crash_host();
  }
  template <class... Values>
  void note(fmt::format_string<Values...> format, Values&&... values) { trail_.note(events_, format, std::forward<Values>(values)...); }
  std::string name(Key key) const;  // "#12/1", the same in every run of a seed
  Time random_duration(const TaskSpec& spec);
  bool is_endless(const TaskSpec& spec) const { return spec.command == "endless"; }

  // ---- what has really happened
  void check_promise(const Runner& runner, const TaskSpec& spec);  // the host gives it a place there
  void started(const Runner& runner, const TaskSpec& spec);
  void ended(Key key, const TaskReport& report);
  void vanished(Key key);  // with the disk that knew of it

private:
  static constexpr std::chrono::seconds kHeartbeat{5};
  struct Truth {
    bool has_run = false, vanished = false, timed_out = false;
    std::optional<TaskState> outcome;
  };
  struct Submitted {
    std::vector<host::Submission> submissions;
    std::string client_id;
    std::vector<TaskId> tasks;
  };

  void make_nodes(int count);
  void start_host();
  void crash_host();
  void look_for_lost();
  // ---- people
  void submit_later();
  void submit();
  void submit_again();
  void remember(const std::vector<store::TaskRecord>& tasks);
  host::Submission some_submission();
  void some_demand(TaskSpec& spec, const host::NodeDescription& node);
  TaskId some_task() { return known_[random_.index(known_.size())]; }
  void meddle();
  // ---- faults
  void fault_later();
  void fault();
  void step_clock();
  void heal();
  // ---- checks (checks.cpp)
  void check_records();
  void check_progress();
  void check_head(const std::vector<store::TaskRecord>& unfinished);
  bool is_over(const std::vector<store::TaskRecord>& unfinished);
  bool waits_for_lost(const store::TaskRecord& task);
  void check_end();
  void check_outcome(const store::TaskRecord& task);
  [[noreturn]] void fail(const std::string& what) const;

  const Settings settings_;
  Trail& trail_;
  Random random_;
  Events events_;
  store::Database database_{":memory:", store::kHostMigrations};
  store::NodeRepository node_repository_{database_};
  store::TaskRepository task_repository_{database_};
  std::unique_ptr<host::Nodes> nodes_;
  std::unique_ptr<host::Tasks> tasks_;
  std::vector<std::unique_ptr<Runner>> runners_;
  // ---- character of this world
  size_t wanted_ = 0;
  double host_crashes_ = 0;
  Time between_submissions_{0}, between_faults_{0}, between_meddling_{0};
  std::chrono::seconds lost_after_{0};
  bool chaos_ = true, dying_ = false, over_ = false;
  Time healed_{0}, last_progress_{0}, clock_steps_{0};
  // ---- what is known
  std::vector<TaskId> known_;             // that the host has taken, in that order
  std::map<TaskId, size_t> numbers_;
  std::map<TaskId, TaskState> final_states_;
  std::vector<Submitted> submitted_;      // with a name of the client's
  std::set<TaskId> kills_;
  std::set<std::string> removed_;         // nodes, at some time
  std::map<Key, Truth> truth_;
  TaskId head_;
  Time head_since_{0};
  Figures figures_;
};

}  // namespace riverbox::simulation
