#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "runner/container_spec.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using namespace riverbox::runner;

namespace {

NodeFacts facts(const std::string& prefix = "hakuriver") {
  return {docker::Naming(prefix), "n1", "/mnt/share", "/tmp/local", {{0, {{0, 1}, 1}}, {1, {{2, 3}, 1}}}, "/state/runner-n1.db", 500, prefix + "-net", "/opt/riverbox", "/state/doors"};
}

TaskSpec task() {
  TaskSpec t;
  t.id = TaskId(77);
  t.attempt = 2;
  t.command = "echo";
  t.arguments = {"a b", "$HOME"};
  t.environment = "py";
  t.stdout_file = "task_outputs/77.out";
  t.stderr_file = "task_errors/77.err";
  return t;
}

bool has(const std::vector<std::string>& list, const std::string& item) { return std::find(list.begin(), list.end(), item) != list.end(); }

}  // namespace

TEST_CASE("a task becomes a container as the manual says") {
  auto t = task();
  t.env = {{"COLOUR", "blue"}, {"HAKURIVER_TASK_ID", "forged"}};
  t.cores = 2;
  t.memory_bytes = 4'000'000'000;
  t.gpus = {0, 3};
  t.mounts = {MountSpec::parse("/data:/data:ro")};
  auto spec = container_spec(t, "sha256:abc", facts());

  CHECK(spec.image == "sha256:abc");
  CHECK_FALSE(spec.entrypoint.has_value());
  CHECK(spec.command == std::vector<std::string>{"echo", "a b", "$HOME"});
  CHECK(has(spec.env, "COLOUR=blue"));
  CHECK(has(spec.env, "HAKURIVER_TASK_ID=77"));
  CHECK(has(spec.env, "HAKURIVER_ATTEMPT=2"));
  CHECK_FALSE(has(spec.env, "HAKURIVER_TASK_ID=forged"));
  CHECK(has(spec.env, "HAKURIVER_LOCAL_TEMP_DIR=/local_temp"));
  CHECK(has(spec.env, "HAKURIVER_SHARED_DIR=/shared"));
  CHECK(std::none_of(spec.env.begin(), spec.env.end(), [](auto& e) { return e.starts_with("HAKURIVER_TARGET_NUMA_NODE"); }));
  CHECK(spec.cpus == 2);
  CHECK(spec.network == "hakuriver-net");
  CHECK(spec.memory_bytes == 4'000'000'000);
  CHECK(spec.cpuset_cpus.empty());
  CHECK(spec.gpus == std::vector<int>{0, 3});
  REQUIRE(spec.mounts.size() == 5);
  CHECK(spec.mounts[0].source == "/mnt/share/shared_data");
  CHECK(spec.mounts[0].target == "/shared");
  CHECK(spec.mounts[1].source == "/tmp/local");
  CHECK(spec.mounts[1].target == "/local_temp");
  CHECK(spec.mounts[2].source == "/data");
  CHECK(spec.mounts[2].read_only);
  CHECK(spec.mounts[3].source == "/state/doors/hakuriver-task-77");
  CHECK(spec.mounts[3].target == "/run/riverbox");
  CHECK(spec.mounts[3].read_only);
  CHECK(spec.mounts[4].source == "/opt/riverbox");
  CHECK(spec.mounts[4].target == "/usr/local/bin/tunnel-client");
  CHECK(spec.mounts[4].read_only);
  CHECK(spec.working_dir == "/shared");
  CHECK(spec.init);
  CHECK(spec.pids_limit == 500);
  CHECK(spec.stop_signal == "SIGTERM");
  CHECK(spec.stop_timeout == std::chrono::seconds(10));
  CHECK_FALSE(spec.privileged);
  CHECK_FALSE(spec.auto_remove);  // the exit code would be lost
  CHECK(spec.log_driver == "local");  // the only one that keeps every byte
  CHECK(spec.labels.at("hakuriver.managed") == "true");
  CHECK(spec.labels.at("hakuriver.task_id") == "77");
  CHECK(spec.labels.at("hakuriver.node") == "n1");
}

TEST_CASE("a VPS runs vps-init, which is told whether there is SSH; it has the doors of its own name") {
  auto t = task();
  t.vps.emplace();
  for (const auto& [ssh, wanted] : std::map<VpsSpec::Ssh, std::string>{{VpsSpec::Ssh::disabled, ""}, {VpsSpec::Ssh::upload, "--ssh"}, {VpsSpec::Ssh::generate, "--ssh"}, {VpsSpec::Ssh::none, "--ssh-without-key"}}) {
    const std::string option = wanted;  // clang captures no structured binding
    CAPTURE(option);
    t.vps->ssh = ssh;
    const auto spec = container_spec(t, "sha256:abc", facts());
    CHECK(spec.entrypoint == std::vector<std::string>{"/usr/local/bin/riverbox"});
    CHECK(spec.command == (option.empty() ? std::vector<std::string>{"vps-init"} : std::vector<std::string>{"vps-init", option}));
    CHECK(std::any_of(spec.mounts.begin(), spec.mounts.end(), [](auto& m) { return m.source == "/state/doors/hakuriver-vps-77" && m.target == "/run/riverbox" && m.read_only; }));
    CHECK(std::any_of(spec.mounts.begin(), spec.mounts.end(), [](auto& m) { return m.source == "/opt/riverbox" && m.target == "/usr/local/bin/riverbox" && m.read_only; }));
  }
}

TEST_CASE("the prefix names the labels; the variables have both names") {
  for (const std::string prefix : {"hakuriver", "kohakuriver"}) {
    CAPTURE(prefix);
    auto spec = container_spec(task(), "sha256:abc", facts(prefix));
    CHECK(has(spec.env, "HAKURIVER_TASK_ID=77"));
    CHECK(has(spec.env, "KOHAKURIVER_TASK_ID=77"));
    CHECK(spec.labels.at(prefix + ".managed") == "true");
  }
}

TEST_CASE("a task runs on the CPUs that the host gave it") {
  auto t = task();
  t.cpus = {3, 7};
  CHECK(container_spec(t, "sha256:abc", facts()).cpuset_cpus == "3,7");
  CHECK(container_spec(t, "sha256:abc", facts()).cpuset_mems.empty());
  t.numa = 1;
  CHECK(container_spec(t, "sha256:abc", facts()).cpuset_cpus == "3,7");
  CHECK(container_spec(t, "sha256:abc", facts()).cpuset_mems == "1");
}

TEST_CASE("a task says how it wants to be stopped") {
  auto t = task();
  t.stop_signal = "SIGINT";
  t.stop_grace = std::chrono::seconds(90);
  auto spec = container_spec(t, "sha256:abc", facts());
  CHECK(spec.stop_signal == "SIGINT");
  CHECK(spec.stop_timeout == std::chrono::seconds(90));
}

TEST_CASE("a NUMA node pins the cores and the memory, one that is not there is refused") {
  auto t = task();
  t.numa = 1;
  auto spec = container_spec(t, "sha256:abc", facts());
  CHECK(spec.cpuset_cpus == "2,3");
  CHECK(spec.cpuset_mems == "1");
  CHECK(has(spec.env, "HAKURIVER_TARGET_NUMA_NODE=1"));
  t.numa = 9;
  CHECK_THROWS_AS(container_spec(t, "sha256:abc", facts()), docker::ResourceAllocationError);
}

TEST_CASE("a command line with shell characters goes through a shell") {
  auto t = task();
  t.command = "a && b; c";
  t.arguments.clear();
  CHECK(container_spec(t, "sha256:abc", facts()).command == std::vector<std::string>{"/bin/sh", "-c", "a && b; c"});
}

TEST_CASE("output files stay inside the share") {
  CHECK(share_file("/s", "task_outputs/1.out").path() == "/s/task_outputs/1.out");
  for (std::string bad : {"", "/etc/passwd", "../x", "a/../../x", "a/", ".."}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(share_file("/s", bad), InvalidInput);
  }
  CHECK_THROWS_AS(share_file("/s", std::string("a\0b", 3)), InvalidInput);
}

TEST_CASE("folders are made when they are missing, but never the share itself") {
  test::TemporaryFolder dir;
  auto f = facts();
  f.shared_dir = dir.path() / "share";
  f.local_temp_dir = dir.path() / "deep/local";
  CHECK_THROWS_AS(prepare_mounts(task(), f), NotFound);
  CHECK_FALSE(std::filesystem::exists(f.shared_dir));

  std::filesystem::create_directory(f.shared_dir);
  prepare_mounts(task(), f);
  CHECK(std::filesystem::is_directory(f.shared_dir / "shared_data"));
  CHECK(std::filesystem::is_directory(f.local_temp_dir));
}

TEST_CASE("a mount whose source is missing is named") {
  test::TemporaryFolder dir;
  auto f = facts();
  f.shared_dir = dir.path();
  f.local_temp_dir = dir.path() / "local";
  auto t = task();
  t.mounts = {MountSpec::parse((dir.path() / "absent").string() + ":/data")};
  try {
    prepare_mounts(t, f);
    FAIL("must throw");
  } catch (const NotFound& error) {
    CHECK(error.fact().find("absent") != std::string::npos);
    CHECK(error.fact().find("does not exist") != std::string::npos);
    CHECK(error.fact().find("n1") != std::string::npos);
  }
}

TEST_CASE("a link does not lead out of what may be mounted") {
  namespace fs = std::filesystem;
  test::TemporaryFolder dir;
  auto f = facts();
  f.shared_dir = f.local_temp_dir = dir.path();
  for (const char* name : {"data", "data/in", "read", "secret"}) fs::create_directory(dir.path() / name);
  fs::create_directory_symlink(dir.path() / "data", dir.path() / "alias");
  fs::create_directory_symlink(dir.path() / "secret", dir.path() / "data/out");
  fs::create_directory_symlink(dir.path() / "read", dir.path() / "data/read");
  fs::create_directory_symlink("in", dir.path() / "data/inside");
  const auto mounts = [&](const std::string& source) {
    auto t = task();
    t.mounts = {MountSpec::parse((dir.path() / source).string())};
    t.mount_roots = {(dir.path() / "data").string(), (dir.path() / "read").string() + ":ro", (dir.path() / "absent").string()};
    prepare_mounts(t, f);
  };
  for (const char* fine : {"data:/x", "data/in:/x", "data/inside:/x", "alias/in:/x", "read:/x:ro", "data/read:/x:ro"}) {
    CAPTURE(fine);
    CHECK_NOTHROW(mounts(fine));
  }
  for (const char* bad : {"data/out:/x", "data/out:/x:ro", "data/read:/x", "secret:/x"}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(mounts(bad), doctest::Contains("allowed_mounts"), Forbidden);
  }
}
