#include <doctest/doctest.h>

#include <csignal>

#include <algorithm>

#include "../mentions.hpp"
#include "base/error.hpp"
#include "base/json.hpp"
#include "base/task.hpp"

using namespace riverbox;
using nlohmann::json;

namespace {

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "(no error)";
}

TaskSpec full_spec() {
  TaskSpec spec;
  spec.id = TaskId(7311204582023168000);
  spec.attempt = 2;
  spec.epoch = 5;
  spec.command = "python";
  spec.arguments = {"-c", "print('x')\n", ""};
  spec.env = {{"A", "1"}, {"B", ""}};
  spec.cores = 3;
  spec.memory_bytes = 4'000'000'000;
  spec.numa = 1;
  spec.gpus = {0, 2};
  spec.environment = "torch";
  spec.tarball = "torch-1700000000.tar";
  spec.privileged = true;
  spec.mounts = {MountSpec::parse("/a:/b:ro"), MountSpec::parse("/c:/d")};
  spec.working_dir = "/shared/x";
  spec.lease = std::chrono::seconds(300);
  spec.stdout_file = "task_outputs/1.out";
  spec.stderr_file = "task_errors/1.err";
  spec.max_output_bytes = 1u << 30;
  return spec;
}

}  // namespace

TEST_CASE("what is final stays as it is, only the lost may be found; what has begun waits again for another attempt only") {
  for (size_t a = 0; a < 11; ++a) {
    for (size_t b = 0; b < 11; ++b) {
      const auto from = static_cast<TaskState>(a), to = static_cast<TaskState>(b);
      CAPTURE(std::string(to_string(from)));
      CAPTURE(std::string(to_string(to)));
      if (is_final(from) && from != TaskState::lost) CHECK_FALSE(may_follow(from, to));
      if (to == TaskState::pending) CHECK(may_follow(from, to) == (!is_final(from) && from != TaskState::pending));
      if (from == TaskState::pending) CHECK(may_follow(from, to) == (to == TaskState::assigning || to == TaskState::failed || to == TaskState::killed || to == TaskState::stopped));
      const auto sources = sources_of(to);
      CHECK(may_follow(from, to) == (std::find(sources.begin(), sources.end(), from) != sources.end()));
    }
  }
  CHECK(unfinished_states() == std::vector{TaskState::pending, TaskState::assigning, TaskState::syncing, TaskState::running, TaskState::paused});
}

TEST_CASE("every state has a name and is final or not") {
  for (int i = 0; i <= static_cast<int>(TaskState::stopped); ++i) {
    const auto state = static_cast<TaskState>(i);
    CHECK(parse_task_state(to_string(state)) == state);
    CHECK(is_final(state) == (state >= TaskState::completed));
  }
  CHECK_THROWS_AS(parse_task_state("Running"), InvalidInput);
  CHECK_THROWS_AS(parse_task_state(""), InvalidInput);
}

// fault: targets-odd
TEST_CASE("targets in HakuRiver's syntax") {
  CHECK(Target::parse("vm").str() == "vm");
  CHECK(Target::parse("vm:0").numa == 0);
  CHECK(Target::parse("vm::0,1").gpus == std::vector<int>{0, 1});
  const Target target = Target::parse("node-1.lab:1::2, 0");
  CHECK(target.node.str() == "node-1.lab");
  CHECK(target.numa == 1);
  CHECK(target.gpus == std::vector<int>{2, 0});
  CHECK(target.str() == "node-1.lab:1::2,0");
  CHECK(Target::parse("vm::0,1,").gpus == std::vector<int>{0, 1});
}

// fault: targets-odd
TEST_CASE("a wrong target is refused by the part that is wrong") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "node name"},     {":0", "node name"},       {"node:", "NUMA node"},     {"node:x", "NUMA node"},   {"node:-1", "NUMA node"},
      {"node:0:0", "NUMA"},  {"node::", "no GPU"},      {"node:: , ", "no GPU"},    {"node::0,0", "twice"},    {"node::a", "GPU \"a\""},
      {"node::-1", "GPU"},   {"node::0 1", "GPU"},      {"no de", "node name"},     {"node\n", "node name"},   {"node::99999", "GPU"},
      {"node:99999", "NUMA"}, {"-rf", "node name"},     {"node::0::1", "GPU"},
  };
  for (const auto& [given, part] : cases) {
    const std::string text = given;
    CAPTURE(text);
    const std::string message = message_of([&] { Target::parse(text); });
    CAPTURE(message);
    CHECK(mentions(message, part));
  }
}

TEST_CASE("mounts have two absolute paths and at most one option") {
  CHECK(MountSpec::parse("/data:/mnt").str() == "/data:/mnt");
  CHECK(MountSpec::parse("/data:/mnt:ro").read_only);
  CHECK_FALSE(MountSpec::parse("/data:/mnt:rw").read_only);
  for (const char* text : {"", "/data", "data:/mnt", "/data:mnt", "/data:/mnt:xx", "/data:/mnt:ro:ro", ":/mnt", "/data:", "/data:/", "/data://"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(MountSpec::parse(text), InvalidInput);
  }
}

TEST_CASE("a task survives JSON unchanged, and its id is text there") {
  const TaskSpec spec = full_spec();
  const json j = spec;
  CHECK(j["id"] == "7311204582023168000");
  const auto back = json::parse(j.dump()).get<TaskSpec>();
  CHECK(json(back) == j);
  CHECK(back.numa == 1);
  CHECK(back.mounts.at(0).read_only);
  CHECK(back.max_output_bytes == 1u << 30);
}

// fault: json-odd
TEST_CASE("JSON from others: ids as numbers, unknown fields, nulls, absent fields") {
  const auto spec = json::parse(R"({"id": 7311204582023168000, "command": "x", "numa": null, "gpus": null, "future": {"a": [1]}})").get<TaskSpec>();
  CHECK(spec.id.value() == 7311204582023168000);
  CHECK_FALSE(spec.numa);
  CHECK(spec.cores == 1);
  CHECK(spec.working_dir == "/shared");
  CHECK(spec.max_output_bytes == 0);  // of a host that knew no limit
}

TEST_CASE("a wrong type is refused by the name of its field") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"command": 5})", "command"},
      {R"({"command": "a\u0000b"})", "command"},
      {R"({"arguments": "x"})", "arguments"},
      {R"({"arguments": ["x", 1]})", "arguments[1]"},
      {R"({"env": ["A=1"]})", "env"},
      {R"({"env": {"A": 1}})", "env.A"},
      {R"({"env": {"": "x"}})", "env"},
      {R"({"env": {"A=B": "x"}})", "env"},
      {R"({"cores": "4"})", "cores"},
      {R"({"cores": 1.5})", "cores"},
      {R"({"cores": -1})", "cores"},
      {R"({"cores": 1e999})", "cores"},
      {R"({"cores": 4294967296})", "cores"},
      {R"({"memory_bytes": -1})", "memory_bytes"},
      {R"({"numa": []})", "numa"},
      {R"({"gpus": [0, "1"]})", "gpus[1]"},
      {R"({"gpus": [-1]})", "gpus[0]"},
      {R"({"privileged": 1})", "privileged"},
      {R"({"mounts": ["relative:/x"]})", "relative:/x"},
      {R"({"attempt": 0})", "attempt"},
      {R"({"epoch": true})", "epoch"},
      {R"({"id": true})", "id"},
      {R"({"id": null})", "id"},
      {R"({"id": -5})", "-5"},
      {R"({"id": 1.5})", "id"},
      {R"({"command": null})", "command"},
  };
  for (const auto& [patch, field] : cases) {
    const std::string text(patch);
    CAPTURE(text);
    json j = full_spec();
    try {
      j.update(json::parse(text));
    } catch (const json::out_of_range&) {
      continue;  // 1e999 does not even pass the parser
    }
    const std::string message = message_of([&] { (void)j.get<TaskSpec>(); });
    CAPTURE(message);
    CHECK(mentions(message, field));
  }
  CHECK_THROWS_AS(json::parse("[]").get<TaskSpec>(), InvalidInput);
  CHECK_THROWS_AS(json().get<TaskSpec>(), InvalidInput);
}

TEST_CASE("a report survives JSON; one that does not say what it is about is refused") {
  TaskReport report;
  report.id = TaskId(77);
  report.attempt = 3;
  report.epoch = 9;
  report.state = TaskState::failed;
  report.exit_code = -1;
  report.message = std::string("stderr was: \xff\0!", 15);
  report.image_id = "sha256:x";
  const auto back = json::parse(json(report).dump()).get<TaskReport>();
  CHECK(back.exit_code == -1);
  CHECK(back.state == TaskState::failed);
  CHECK(back.message == std::string("stderr was: \xEF\xBF\xBD\0!", 17));
  for (const char* field : {"id", "attempt", "epoch", "state"}) {
    json j = report;
    j.erase(field);
    CAPTURE(field);
    CHECK(mentions(message_of([&] { (void)j.get<TaskReport>(); }), field));
  }
}

TEST_CASE("a stop signal in all its spellings") {
  for (const char* text : {"INT", "int", "SIGINT", "sigint", "2", " INT "}) {
    CAPTURE(text);
    CHECK(parse_stop_signal(text) == "SIGINT");
  }
  CHECK(parse_stop_signal("RTMIN+3") == "SIGRTMIN+3");
  CHECK(parse_stop_signal("KILL") == "SIGKILL");
  CHECK(signal_number("SIGINT") == SIGINT);
  CHECK(signal_number("SIGRTMIN+3") == SIGRTMIN + 3);
  CHECK(signal_number("SIGRTMAX-1") == SIGRTMAX - 1);
  CHECK_THROWS_AS(signal_number("SIGNONSENSE"), InvalidInput);
  for (const char* text : {"", "SIG", "0", "65", "NOW", "STOP", "SIGCONT", "19", "RTMIN+", "RTMIN+99", "IN\nT"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_stop_signal(text), InvalidInput);
  }
}

TEST_CASE("a task of an older host is stopped as ever") {
  json j = full_spec();
  j.erase("stop_signal");
  j.erase("stop_grace_s");
  const auto spec = j.get<TaskSpec>();
  CHECK(spec.stop_signal == "SIGTERM");
  CHECK(spec.stop_grace == std::chrono::seconds(10));
}

TEST_CASE("what a shell user types runs in a shell, a plain command as it is") {
  TaskSpec spec;
  const auto argv = [&](std::string command, std::vector<std::string> arguments = {}) {
    spec.command = std::move(command);
    spec.arguments = std::move(arguments);
    return task_argv(spec);
  };
  using Words = std::vector<std::string>;
  CHECK(argv("hostname") == Words{"hostname"});
  CHECK(argv("/opt/a-b_c.d/run") == Words{"/opt/a-b_c.d/run"});
  CHECK(argv("a && b; c") == Words{"/bin/sh", "-c", "a && b; c"});
  CHECK(argv("echo hi") == Words{"/bin/sh", "-c", "echo hi"});
  CHECK(argv("echo>x") == Words{"/bin/sh", "-c", "echo>x"});
  CHECK(argv("$HOME/x") == Words{"/bin/sh", "-c", "$HOME/x"});
  CHECK(argv("a\nb") == Words{"/bin/sh", "-c", "a\nb"});
  CHECK(argv("my program", {"a b", "$x"}) == Words{"my program", "a b", "$x"});
  CHECK(argv("sh", {"-c", "a; b"}) == Words{"sh", "-c", "a; b"});
}
