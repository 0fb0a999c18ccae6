// A link between a simulated runner and the real host: two streams of frames that keep their order, come late, and are cut off. The host's end does what api/link_session.cpp
// does with a frame.
#pragma once
#include <deque>
#include <memory>

#include "ground.hpp"
#include "host/tasks.hpp"

namespace riverbox::simulation {

class Runner;
class World;

class Link : public host::RunnerLink, public std::enable_shared_from_this<Link> {
public:
  Link(World& world, Runner& runner) : world_(world), runner_(runner) {}

  // ---- the host's end
  void dispatch(const TaskSpec& spec) override;
  void kill(TaskId id, int attempt) override;
  void drop() override;
  void control(const std::string& action, TaskId id, int attempt, std::function<void(bool, std::string)> done) override;
  void sync(const host::SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(host::SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}

  // ---- the runner's end
  void hello(std::vector<host::KnownAttempt> attempts);
  void report(std::int64_t sequence, TaskReport report);
  void synced();
  void heartbeat();
  void hang_up();  // the runner's end is closed; what is under way arrives yet, and then the host learns of it

  // ---- what may become of it
  void break_off();        // both ends learn of it; some of what is under way is gone
  void stall(Time until);  // nothing comes through; one end or the other may lose its patience
  void host_is_gone();

private:
  struct Pipe {
    std::deque<std::function<void()>> frames;
    bool moving = false;
  };
  void send(Pipe& pipe, std::function<void()> frame);
  void move(Pipe& pipe, Time delay);
  void to_host(std::function<void()> frame) { send(to_host_, std::move(frame)); }
  void to_runner(std::function<void()> frame);
  bool is_heard();
  void close_host_end();
  void close_runner_end(Time delay);

  World& world_;
  Runner& runner_;
  Pipe to_host_, to_runner_;
  Time stalled_until_{0};
  bool host_end_ = true, runner_end_ = true;   // open
  std::vector<host::KnownAttempt> attempts_;   // of the hello
  bool greeted_ = false;
};

}  // namespace riverbox::simulation
