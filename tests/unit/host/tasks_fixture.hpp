// A host with one node: a real (in-memory) database, and a link that records what it is told.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "host/tasks.hpp"

namespace test {

using namespace riverbox;
using namespace riverbox::host;

struct RecordingLink : RunnerLink {
  std::vector<TaskSpec> dispatched;
  std::vector<TaskId> killed;
  void dispatch(const TaskSpec& spec) override { dispatched.push_back(spec); }
  void kill(TaskId id, int) override { killed.push_back(id); }
  bool dropped = false;
  void drop() override { dropped = true; }
  void control(const std::string&, TaskId, int, std::function<void(bool, std::string)> done) override { done(true, ""); }
  void sync(const SyncOrder&, std::function<void(std::uint64_t, std::uint64_t)>, std::function<void(SyncAnswer)>) override {}
  void open_logs(const std::string&, TaskId, int, std::uint64_t, std::uint64_t) override {}
};

struct TasksFixture {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository node_repository{database};
  store::TaskRepository task_repository{database};
  Nodes nodes{node_repository, std::chrono::seconds(5), 6};
  Tasks tasks{task_repository, nodes, [](TaskId id, int attempt, bool err) { return id.str() + "." + std::to_string(attempt) + (err ? ".err" : ".out"); }};
  std::shared_ptr<RecordingLink> link = std::make_shared<RecordingLink>();

  TasksFixture() { connect(link); }
  std::int64_t connect(std::shared_ptr<RecordingLink> l, const std::string& name = "n1", int cores = 4) {
    NodeDescription d;
    d.hostname = name;
    d.cores = cores;
    d.memory_bytes = 8ull << 30;
    d.cpus = std::make_shared<Cpus>(Cpus{{.numa = 0, .cpus = {0, 1}}, {.numa = 1, .cpus = {2, 3}}});
    return nodes.connect(d, l);
  }
  Submission submission(int cores = 1) {
    Submission s;
    s.spec.command = "echo";
    s.spec.environment = "env";
    s.spec.cores = cores;
    return s;
  }
  TaskReport report(const TaskSpec& spec, TaskState state) {
    TaskReport r;
    r.id = spec.id;
    r.attempt = spec.attempt;
    r.epoch = spec.epoch;
    r.state = state;
    if (state == TaskState::completed) r.exit_code = 0;
    return r;
  }
};

}  // namespace test
