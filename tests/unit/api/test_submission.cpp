#include <doctest/doctest.h>

#include "api/shapes.hpp"
#include "base/error.hpp"

using namespace riverbox;
using namespace riverbox::api;
using nlohmann::json;

namespace {
host::Submission parse(const char* text) { return parse_submission(json::parse(text), Config{}); }
}  // namespace

TEST_CASE("a classic submission") {
  auto s = parse(R"({"task_type":"command","command":"python","arguments":["x.py"],"env_vars":{"A":"1"},"required_cores":2,
    "required_gpus":[[0,1]],"required_memory_bytes":4000000000,"targets":["gpu-node:1"],"container_name":"env","privileged":true,
    "additional_mounts":["/data:/data:ro"],"surprise":1})");
  CHECK(s.spec.command == "python");
  CHECK(s.spec.arguments == std::vector<std::string>{"x.py"});
  CHECK(s.spec.env.at("A") == "1");
  CHECK(s.spec.cores == 2);
  CHECK(s.spec.memory_bytes == 4000000000u);
  CHECK(s.spec.privileged);
  REQUIRE(s.spec.mounts.size() == 1);
  CHECK(s.spec.mounts[0].read_only);
  REQUIRE(s.targets.size() == 1);
  CHECK(s.targets[0].numa == 1);
  CHECK(s.targets[0].gpus == std::vector{0, 1});
}

TEST_CASE("nulls and absences mean the defaults") {
  auto s = parse(R"({"command":"true","arguments":null,"env_vars":[],"required_gpus":null,"targets":null,"container_name":null})");
  CHECK(s.spec.cores == 1);
  CHECK(s.spec.environment == "hakuriver-base");
  CHECK(s.targets.empty());
  CHECK_FALSE(s.spec.privileged);
  CHECK(s.spec.max_output_bytes == 1u << 30);
  CHECK(s.spec.stop_signal == "SIGTERM");
  CHECK(s.spec.stop_grace == std::chrono::seconds(10));
}

TEST_CASE("an image of a registry takes the place of the environment") {
  auto s = parse(R"({"command":"x","registry_image":" reg.example:5000/a/b:1 ","container_name":"NULL"})");
  CHECK(s.spec.registry_image == "reg.example:5000/a/b:1");
  CHECK(s.spec.environment.empty());
  CHECK(parse(R"({"command":"x","registry_image":null})").spec.environment == "hakuriver-base");
  for (const char* bad : {R"("a b")", R"("sha256:0123")", R"("x:")", "5"}) {
    const std::string text = std::string(R"({"command":"x","registry_image":)") + bad + "}";
    CAPTURE(text);
    CHECK_THROWS_AS(parse(text.c_str()), InvalidInput);
  }
}

TEST_CASE("a name, and where it starts") {
  auto s = parse(R"({"command":"x","name":"Zürich 1","working_dir":"/data"})");
  CHECK(s.spec.name == "Zürich 1");
  CHECK(s.spec.working_dir == "/data");
  CHECK(parse(R"({"command":"x"})").spec.working_dir == "/shared");
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","name":"a\nb"})"), doctest::Contains("name"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","working_dir":"data"})"), doctest::Contains("working_dir"), InvalidInput);
}

TEST_CASE("CPUs for itself") {
  CHECK(parse(R"({"command":"x","exclusive":true,"required_cores":2})").spec.exclusive);
  CHECK_FALSE(parse(R"({"command":"x"})").spec.exclusive);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","exclusive":true,"required_cores":0})"), doctest::Contains("required_cores"), InvalidInput);
}

TEST_CASE("how a task wants to be stopped") {
  auto s = parse(R"({"command":"x","stop_signal":"int","stop_grace_seconds":0})");
  CHECK(s.spec.stop_signal == "SIGINT");
  CHECK(s.spec.stop_grace.count() == 0);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","stop_signal":"NOW"})"), doctest::Contains("NOW"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","stop_grace_seconds":3601})"), doctest::Contains("stop_grace_seconds"), InvalidInput);
}

TEST_CASE("a task without a container") {
  Config config;
  config.docker.tasks_privileged = true;
  config.docker.additional_mounts = {"/data:/data"};
  const auto s = parse_submission(json::parse(R"({"command":"x","container_name":"NULL","privileged":false,"additional_mounts":[]})"), config);
  CHECK(s.spec.runs_on_host());
  CHECK_FALSE(s.spec.privileged);  // the defaults are for containers
  CHECK(s.spec.mounts.empty());
  CHECK_FALSE(parse(R"({"command":"x","container_name":"null"})").spec.runs_on_host());
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","container_name":"NULL","privileged":true})"), doctest::Contains("privileged"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","container_name":"NULL","additional_mounts":["/a:/a"]})"), doctest::Contains("mounts"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","container_name":"NULL@newest"})"), doctest::Contains("version"), InvalidInput);
}

TEST_CASE("what becomes of it in a partition: what it says, else what the configuration says") {
  CHECK(parse(R"({"command":"true"})").spec.lease.count() == 0);
  CHECK(parse(R"({"command":"true","on_partition":"stop"})").spec.lease == std::chrono::seconds(300));
  Config config;
  config.timing.on_partition = "stop";
  config.timing.lease = std::chrono::seconds(2);
  CHECK(parse_submission(json::parse(R"({"command":"true","on_partition":null})"), config).spec.lease == std::chrono::seconds(15));  // three beats
  CHECK(parse_submission(json::parse(R"({"command":"true","on_partition":"keep"})"), config).spec.lease.count() == 0);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","on_partition":"stopp"})"), doctest::Contains("on_partition"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","on_partition":true})"), doctest::Contains("on_partition"), InvalidInput);
}

// fault: amounts-odd, commands-odd
TEST_CASE("wrong fields are named") {
  CHECK_THROWS_WITH_AS(parse(R"({})"), doctest::Contains("command"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"  "})"), doctest::Contains("nothing to run"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_cores":-1})"), doctest::Contains("required_cores"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_cores":1e9})"), doctest::Contains("required_cores"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","arguments":"a"})"), doctest::Contains("arguments"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","arguments":["a\u0000b"]})"), doctest::Contains("arguments"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x\u0000y"})"), doctest::Contains("command"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","env_vars":{"A=B":"1"}})"), doctest::Contains("env_vars"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_gpus":[[0]]})"), doctest::Contains("target"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","targets":["a"],"required_gpus":[[0],[1]]})"), doctest::Contains("each target"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","targets":["a::99999999999"]})"), doctest::Contains("99999999999"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","task_type":"vps"})"), doctest::Contains("vps"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","additional_mounts":["relative:/x"]})"), doctest::Contains("relative"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_memory_bytes":1})"), doctest::Contains("6 MiB"), InvalidInput);
}
