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
}

TEST_CASE("wrong fields are named") {
  CHECK_THROWS_WITH_AS(parse(R"({})"), doctest::Contains("command"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"  "})"), doctest::Contains("nothing to run"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_cores":-1})"), doctest::Contains("required_cores"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_cores":1e9})"), doctest::Contains("required_cores"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","arguments":"a"})"), doctest::Contains("arguments"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","env_vars":{"A=B":"1"}})"), doctest::Contains("env_vars"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_gpus":[[0]]})"), doctest::Contains("target"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","targets":["a"],"required_gpus":[[0],[1]]})"), doctest::Contains("each target"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","targets":["a::99999999999"]})"), doctest::Contains("99999999999"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","container_name":"NULL"})"), doctest::Contains("NULL"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","task_type":"vps"})"), doctest::Contains("vps"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","additional_mounts":["relative:/x"]})"), doctest::Contains("relative"), InvalidInput);
  CHECK_THROWS_WITH_AS(parse(R"({"command":"x","required_memory_bytes":1})"), doctest::Contains("6 MiB"), InvalidInput);
}
