
#include "applets/task_commands.hpp"
#include "base/json.hpp"
#include "support.hpp"

using namespace riverbox::applets;
using Words = std::vector<std::string>;

namespace {
Json body(Words words) {
  words.insert(words.begin(), "hakuriver.client");
  return submission(parse(client_command(), called(words)));
}
}  // namespace

TEST_CASE("the body of a submission") {
  const Json plain = body({"echo", "hi there"});
  CHECK(plain.dump() ==
        R"({"task_type":"command","command":"echo","arguments":["hi there"],"env_vars":{},"required_cores":1,"required_memory_bytes":null,)"
        R"("targets":null,"required_gpus":null,"container_name":null,"privileged":null,"additional_mounts":null})");

  const Json full = body({"--target", "n1:0", "--target", "n2::0,1", "--container", "env", "--cores", "0", "--memory", "4G", "--env", "A=b=c", "--env",
                          "E=", "--mount", "/a:/b:ro", "--privileged", "--wait", "--poll-interval", "2", "--", "a && b; c"});
  CHECK(full["targets"] == Json::parse(R"(["n1:0","n2"])"));
  CHECK(full["required_gpus"] == Json::parse("[[],[0,1]]"));
  CHECK(full["container_name"] == "env");
  CHECK(full["required_cores"] == 0);
  CHECK(full["required_memory_bytes"] == 4'000'000'000u);
  CHECK(full["env_vars"] == Json::parse(R"({"A":"b=c","E":""})"));
  CHECK(full["additional_mounts"] == Json::parse(R"(["/a:/b:ro"])"));
  CHECK(full["privileged"] == true);
  CHECK(full["command"] == "a && b; c");
  CHECK(full["arguments"].empty());
}

TEST_CASE("an image of a registry") {
  CHECK(body({"--image", "ubuntu:24.04", "--", "a"})["registry_image"] == "ubuntu:24.04");
  CHECK_FALSE(body({"--", "a"}).contains("registry_image"));
}

TEST_CASE("CPUs for itself") {
  CHECK(body({"--exclusive", "--cores", "2", "--", "a"})["exclusive"] == true);
  CHECK(contains(usage_error([] { body({"--exclusive", "--cores", "0", "--", "a"}); }), "--exclusive"));
}

TEST_CASE("how a task wants to be stopped") {
  const Json stopped = body({"--stop-signal", "usr1", "--grace", "2m", "--", "a"});
  CHECK(stopped["stop_signal"] == "SIGUSR1");
  CHECK(stopped["stop_grace_seconds"] == 120);
  CHECK(contains(usage_error([] { body({"--stop-signal", "STOP", "--", "a"}); }), "--stop-signal"));
  CHECK(contains(usage_error([] { body({"--grace", "long", "--", "a"}); }), "--grace"));
}

TEST_CASE("wrong values are usage errors that name the option") {
  CHECK(contains(usage_error([] { body({"--target", "n1:x", "--", "a"}); }), "--target"));
  CHECK(contains(usage_error([] { body({"--target", "n1::a", "--", "a"}); }), "--target"));
  CHECK(contains(usage_error([] { body({"--cores", "-1", "--", "a"}); }), "--cores"));
  CHECK(contains(usage_error([] { body({"--cores", "two", "--", "a"}); }), "'two'"));
  CHECK(contains(usage_error([] { body({"--memory", "lots", "--", "a"}); }), "--memory"));
  CHECK(contains(usage_error([] { body({"--env", "NOVALUE", "--", "a"}); }), "KEY=VALUE"));
  CHECK(contains(usage_error([] { body({"--env", "=x", "--", "a"}); }), "KEY=VALUE"));
  CHECK(contains(usage_error([] { body({"--mount", "relative:/b", "--", "a"}); }), "--mount"));
  CHECK(contains(usage_error([] { body({"--container", "env", "--"}); }), "which command"));
  CHECK(contains(usage_error([] { body({"--container", "env"}); }), "which command"));
  CHECK(contains(usage_error([] { body({"--contaner", "env", "--", "x"}); }), "--container"));
}

TEST_CASE("a misspelt subcommand is not run as a task") {
  const Invocation invocation = called({"hakuriver.client", "stauts", "123"});
  const std::string error = usage_error([&] { run_client(invocation); });
  CHECK(contains(error, "Did you mean 'status'?"));
  CHECK(contains(error, "-- stauts"));
}
