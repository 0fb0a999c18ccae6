// A simulated machine with a runner: what it remembers and does is what src/runner does, without Docker. A crash of the program forgets what is in memory and leaves the
// containers; one of the machine ends them; a new disk forgets everything.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "ground.hpp"
#include "host/nodes.hpp"
#include "link.hpp"

namespace riverbox::simulation {

class Runner {
public:
  Runner(World& world, host::NodeDescription description) : world_(world), description_(std::move(description)) {}

  const std::string& name() const { return description_.hostname; }
  const host::NodeDescription& description() const { return description_; }
  void start_program();
  // Nothing runs, and everything has been told and acknowledged.
  bool is_idle() const { return attempts_.empty() && outbox_.empty(); }
  bool is_up() const { return program_runs_ && link_ && welcomed_; }

  // ---- from the host
  void welcomed(Link& link);
  void refused(Link& link);
  void closed(Link& link);
  void acknowledged(std::int64_t sequence);
  void dispatch(const TaskSpec& spec);
  void kill(Key key);
  void control(bool pause, Key key);

  // ---- faults
  void crash_program(Time down);
  void crash_machine(Time down);
  void lose_disk(Time down);
  void break_link();
  void partition(Time length);
  void gives_up(Link& link);  // it has heard nothing for too long
  void heal();                // the partition is over

  // What its containers hold; checked at every start.
  struct Held {
    Key key;
    const TaskSpec* spec;
  };
  std::vector<Held> running() const;

private:
  enum class Phase { preparing, running, paused, exited };
  struct Attempt {
    TaskSpec spec;
    Phase phase = Phase::preparing;
    bool is_durable = false;
    Time ends{0}, left{0};             // while it runs; while it is paused
    TaskReport exit;                   // once it has exited
    bool kill_requested = false;       // forgotten by a crash
    TaskState told = TaskState::assigning;
  };

  // Later, unless the program has crashed meanwhile.
  void later(Time delay, std::function<void()> what);
  void dial();
  void dial_later(Time delay) {
    later(delay, [this] { dial(); });
  }
  void beat(const std::shared_ptr<Link>& link);
  void prepare(Key key);
  void start(Key key);
  void watch(Key key);
  void exit(Key key, TaskReport outcome);
  void finish(Key key, TaskReport report);
  void report(Attempt& attempt, TaskState state);
  void put(TaskReport report);
  TaskReport report_of(const Attempt& attempt, TaskState state) const;
  TaskReport outcome_of(const Attempt& attempt);
  Attempt* find(Key key);

  World& world_;
  const host::NodeDescription description_;
  // ---- on its disk, and in its Docker
  std::map<Key, Attempt> attempts_;
  std::deque<std::pair<std::int64_t, TaskReport>> outbox_;
  std::int64_t next_sequence_ = 1;
  // ---- in memory
  bool program_runs_ = false;
  int life_ = 0;  // of the program
  std::shared_ptr<Link> link_;
  bool welcomed_ = false;
  std::set<Key> recent_;
  Time partition_ends_{0};
};

}  // namespace riverbox::simulation
