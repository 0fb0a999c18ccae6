#include <doctest/doctest.h>

#include "base/error.hpp"
#include "host/task_policy.hpp"

using namespace riverbox;
using namespace riverbox::host;

namespace {

TaskSpec mounting(std::initializer_list<const char*> mounts) {
  TaskSpec spec;
  for (const char* text : mounts) spec.mounts.push_back(MountSpec::parse(text));
  return spec;
}

Config lab() {
  Config config;
  config.tasks.allowed_mounts = {"/data", "/scratch/:ro"};
  config.docker.additional_mounts = {"/models:/models:ro", "no mount"};
  return config;
}

}  // namespace

TEST_CASE("the administrator may everything") {
  auto spec = mounting({"/etc:/etc", "/data/../root:/r"});
  spec.privileged = true;
  spec.mount_roots = {"/data"};  // of the one who submitted it first
  TaskPolicy(Config{}).apply(spec, Role::admin);
  CHECK(spec.mounts[1].source == "/data/../root");
  CHECK(spec.mount_roots.empty());
}

TEST_CASE("a task without a container is as good as a privileged one") {
  TaskSpec spec;
  spec.environment = std::string(kNoContainer);
  CHECK_THROWS_WITH_AS(TaskPolicy(Config{}).apply(spec, Role::user), doctest::Contains("without a container"), Forbidden);
  CHECK_NOTHROW(TaskPolicy(Config{}).apply(spec, Role::admin));
  Config config;
  config.tasks.allow_privileged = true;
  CHECK_NOTHROW(TaskPolicy(config).apply(spec, Role::user));
}

TEST_CASE("others may nothing unless it is said, and the refusal says where") {
  const TaskPolicy nothing{Config{}};
  TaskSpec plain;
  nothing.apply(plain, Role::user);
  TaskSpec privileged;
  privileged.privileged = true;
  CHECK_THROWS_WITH_AS(nothing.apply(privileged, Role::user), doctest::Contains("allow_privileged"), Forbidden);
  auto data = mounting({"/data:/data:ro"});
  CHECK_THROWS_WITH_AS(nothing.apply(data, Role::user), doctest::Contains("allowed_mounts"), Forbidden);
}

TEST_CASE("what is listed is allowed, by its plain path") {
  const TaskPolicy policy{lab()};
  auto spec = mounting({"/data//sets/./a/:/a", "/scratch:/s:ro", "/models:/models:ro"});
  policy.apply(spec, Role::user);
  CHECK(spec.mounts[0].source == "/data/sets/a");
  CHECK(spec.mount_roots == std::vector<std::string>{"/data", "/scratch:ro", "/models:ro"});
  for (const char* text : {"/:/x", "/database:/x", "/data/../etc:/x", "/data/a/../../etc/shadow:/x", "/./etc:/x", "/models/../data2:/x"}) {
    CAPTURE(text);
    auto other = mounting({text});
    CHECK_THROWS_WITH_AS(policy.apply(other, Role::user), doctest::Contains("is not allowed"), Forbidden);
  }
  auto written = mounting({"/scratch/x:/x"});
  CHECK_THROWS_WITH_AS(policy.apply(written, Role::user), doctest::Contains("/scratch/x:/x:ro"), Forbidden);
}

TEST_CASE("what the configuration gives to all is allowed to all") {
  Config config;
  config.docker.tasks_privileged = true;
  TaskSpec spec;
  spec.privileged = true;
  TaskPolicy(config).apply(spec, Role::user);
  config.docker.tasks_privileged = false;
  config.tasks.allow_privileged = true;
  TaskPolicy(config).apply(spec, Role::user);
}

TEST_CASE("a list that cannot be read stops the host") {
  Config config;
  config.tasks.allowed_mounts = {"data"};
  CHECK_THROWS_WITH_AS(TaskPolicy{config}, doctest::Contains("tasks.allowed_mounts"), ConfigError);
}
