#include <doctest/doctest.h>

#include "base/error.hpp"
#include "docker/errors.hpp"
#include "runner/host_processes.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using namespace riverbox::runner;

namespace {

NodeFacts host_facts(const std::filesystem::path& share = "/mnt/share") {
  return {docker::Naming("kohakuriver"), "n1", share, "/tmp/local", {{1, {{2, 3}, 1}}}, "/state/runner-n1.db", 500, {}};
}

TaskSpec host_task() {
  TaskSpec t;
  t.id = TaskId(77);
  t.attempt = 2;
  t.command = "echo a && echo b";
  t.environment = std::string(kNoContainer);
  return t;
}

}  // namespace

TEST_CASE("a task without a container becomes a command that finds what it would find in one") {
  auto t = host_task();
  t.env = {{"COLOUR", "blue"}, {"MY_SHARED_DIR", "/shared"}, {"KOHAKURIVER_TASK_ID", "forged"}};
  t.numa = 1;
  t.memory_bytes = 1 << 30;
  t.cores = 2;
  t.gpus = {0, 3};
  const auto command = host_command(t, host_facts(), {.allowed = true, .user = "lab"});
  CHECK(command.argv == std::vector<std::string>{"/bin/sh", "-c", "echo a && echo b"});
  CHECK(command.working_dir == "/mnt/share/shared_data");
  CHECK(command.user == "lab");
  CHECK(command.limits.cpus == std::vector{2, 3});
  CHECK(command.limits.memory_node == 1);
  CHECK(command.limits.memory_bytes == 1 << 30);
  CHECK(command.limits.processes == 500);
  CHECK(command.limits.cores == 2);
  CHECK(command.env.at("COLOUR") == "blue");
  CHECK(command.env.at("MY_SHARED_DIR") == "/shared");  // the user's own
  CHECK(command.env.at("KOHAKURIVER_TASK_ID") == "77");
  CHECK(command.env.at("KOHAKURIVER_SHARED_DIR") == "/mnt/share/shared_data");
  CHECK(command.env.at("KOHAKURIVER_LOCAL_TEMP_DIR") == "/tmp/local");
  CHECK(command.env.at("CUDA_VISIBLE_DEVICES") == "0,3");

  t.working_dir = "/shared/runs/x";
  CHECK(host_command(t, host_facts(), {}).working_dir == "/mnt/share/shared_data/runs/x");
  t.working_dir = "/sharedness";
  CHECK(host_command(t, host_facts(), {}).working_dir == "/sharedness");
  t.numa = 7;
  CHECK_THROWS_AS(host_command(t, host_facts(), {}), docker::ResourceAllocationError);
}

TEST_CASE("a node that does not allow it makes nothing") {
  test::TemporaryFolder dir;
  HostProcesses processes(dir.path() / "tasks", host_facts(dir.path()), {});
  CHECK_THROWS_WITH_AS(processes.make(host_task()), doctest::Contains("allow_host_tasks"), Forbidden);
  CHECK_FALSE(std::filesystem::exists(dir.path() / "tasks"));
  CHECK_FALSE(processes.find({TaskId(77), 2}));
}

TEST_CASE("what was made is found again, and what nobody knows is removed") {
  test::TemporaryFolder dir;
  HostProcesses processes(dir.path() / "tasks", host_facts(dir.path()), {.allowed = true, .user = ""});
  const auto made = processes.make(host_task());
  CHECK(made.state.status == "created");
  REQUIRE(processes.find({TaskId(77), 2}));
  CHECK(processes.find({TaskId(77), 2})->id == made.id);
  CHECK_FALSE(processes.find({TaskId(77), 1}));
  processes.remove_leftovers([&](const std::string& id) { return id == made.id; });
  CHECK(processes.find({TaskId(77), 2}));
  processes.remove_leftovers([](const std::string&) { return false; });
  CHECK_FALSE(processes.find({TaskId(77), 2}));
}
