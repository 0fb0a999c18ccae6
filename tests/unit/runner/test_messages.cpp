#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/json.hpp"
#include "runner/messages.hpp"

using namespace riverbox;
using namespace riverbox::runner;
using nlohmann::json;

namespace {

template <class T>
T parsed(const json& message) {
  auto result = parse_host_message(message.dump());
  REQUIRE(result.has_value());
  REQUIRE(std::holds_alternative<T>(*result));
  return std::get<T>(*result);
}

}  // namespace

TEST_CASE("what the host says is understood") {
  auto welcome = parsed<Welcome>({{"type", "welcome"}, {"epoch", 7}, {"heartbeat_interval_s", 2}, {"shared_dir", "/mnt/s"}});
  CHECK(welcome.epoch == 7);
  CHECK(welcome.heartbeat_interval == std::chrono::seconds(2));
  CHECK(welcome.shared_dir == "/mnt/s");

  CHECK(parsed<Refused>({{"type", "refused"}, {"message", "no"}}).message == "no");
  CHECK(parsed<Acknowledged>({{"type", "ack"}, {"sequence", 12}}).sequence == 12);
  CHECK(parsed<Heard>({{"type", "heard"}, {"sent", 12345}}).sent.count() == 12345);

  const std::string key = "ed25519:" + std::string(64, 'a');
  CHECK(parsed<Keys>({{"type", "keys"}, {"keys", {key}}}).keys.at(0).str() == key);
  CHECK(parsed<Keys>({{"type", "keys"}, {"keys", json::array()}}).keys.empty());
  for (const json& bad : {json(5), json{"ed25519:aa"}, json{5}, json(std::vector<std::string>(65, key))})
    CHECK_THROWS_AS(parse_host_message(json{{"type", "keys"}, {"keys", bad}}.dump()), InvalidInput);

  TaskSpec task;
  task.id = TaskId(42);
  task.command = "true";
  task.environment = "py";
  auto dispatch = parsed<Dispatch>({{"type", "dispatch"}, {"task", task}});
  CHECK(dispatch.task.id == TaskId(42));
  CHECK(dispatch.task.environment == "py");

  CHECK(parsed<Kill>({{"type", "kill"}, {"task_id", "42"}, {"attempt", 3}}).attempt == AttemptId{TaskId(42), 3});
  CHECK(parsed<Control>({{"type", "pause"}, {"task_id", "42"}, {"attempt", 1}, {"request", "r1"}}).pause);
  CHECK(parsed<RemoveVps>({{"type", "remove_vps"}, {"task_id", "42"}, {"request", "r1"}}).id == TaskId(42));
  auto question = parsed<SnapshotQuestion>({{"type", "snapshots"}, {"order", SnapshotOrder{.action = SnapshotOrder::Action::take, .vps = TaskId(42), .message = "why"}}, {"request", "r1"}});
  CHECK(question.order.action == SnapshotOrder::Action::take);
  CHECK(question.order.message == "why");
  CHECK(question.request == "\"r1\"");
  CHECK_FALSE(parsed<Control>({{"type", "resume"}, {"task_id", "42"}, {"attempt", 1}, {"request", 5}}).pause);

  auto logs = parsed<OpenLogs>({{"type", "open_logs"}, {"stream", "s/1"}, {"task_id", "42"}, {"attempt", 1}, {"stdout_from", 10}, {"stderr_from", 0}});
  CHECK(logs.stream == "s/1");
  CHECK(logs.from[0] == 10);
  CHECK(logs.from[1] == 0);
  CHECK_FALSE(logs.part);
  logs = parsed<OpenLogs>({{"type", "open_logs"}, {"stream", "s"}, {"task_id", "42"}, {"attempt", 1}, {"part", {{"file", "a/b.out"}, {"tail", 3}}}});
  REQUIRE(logs.part);
  CHECK(logs.part->file == "a/b.out");
  CHECK(logs.part->request.last_lines == 3);
  CHECK_FALSE(logs.part->request.range);

  auto shell = parsed<OpenTerminal>({{"type", "open_terminal"}, {"stream", "s"}, {"task_id", "42"}, {"attempt", 2}, {"dialect", "riverbox"}, {"tty", false}, {"rows", 50},
                                     {"cols", 132}, {"env", {{"TERM", "xterm"}}}});
  CHECK(shell.stream == "s");
  CHECK(shell.attempt == AttemptId{TaskId(42), 2});
  CHECK(shell.options.dialect == terminal::Dialect::riverbox);
  CHECK_FALSE(shell.options.open.tty);
  CHECK(shell.options.open.rows == 50);
  CHECK(shell.options.open.columns == 132);
  CHECK(shell.options.open.env == std::map<std::string, std::string>{{"TERM", "xterm"}});
  CHECK_FALSE(shell.options.session);
  shell = parsed<OpenTerminal>({{"type", "open_terminal"}, {"stream", "s"}, {"task_id", "42"}, {"attempt", 2}, {"dialect", "json"}, {"tty", true}, {"rows", 50}, {"cols", 132}, {"env", json::object()},
                                {"session", {{"name", "main"}, {"watch", true}, {"resume", "00000000000000ff.12"}}}});
  REQUIRE(shell.options.session);
  CHECK(shell.options.session->name.str() == "main");
  CHECK((shell.options.session->watch && !shell.options.session->fresh));
  CHECK(shell.options.session->resume->str() == "00000000000000ff.12");
  CHECK(parsed<ListSessions>({{"type", "sessions"}, {"task_id", "42"}, {"attempt", 2}, {"request", "r"}}).attempt == AttemptId{TaskId(42), 2});
  const auto told = json::parse(sessions_text("\"r\"", {{.name = "main", .since = {}, .clients = 2, .watchers = 1, .rows = 24, .columns = 80}}));
  CHECK(told == json{{"type", "result"}, {"request", "r"}, {"ok", true}, {"message", ""},
                     {"sessions", {{{"name", "main"}, {"since", "1970-01-01T00:00:00.000000000Z"}, {"clients", 2}, {"watchers", 1}, {"rows", 24}, {"cols", 80}}}}});
}

TEST_CASE("unknown fields are ignored and an unknown type is named") {
  CHECK(parsed<Acknowledged>({{"type", "ack"}, {"sequence", 1}, {"colour", "blue"}}).sequence == 1);
  std::string type;
  CHECK_FALSE(parse_host_message(R"({"type":"sing","song":1})", &type));
  CHECK(type == "sing");
}

TEST_CASE("a host that asks for a nonsensical heartbeat gets a sane one") {
  CHECK(parsed<Welcome>({{"type", "welcome"}, {"epoch", 1}, {"heartbeat_interval_s", 0}}).heartbeat_interval.count() == 100);
  CHECK(parsed<Welcome>({{"type", "welcome"}, {"epoch", 1}, {"heartbeat_interval_s", 1e300}}).heartbeat_interval.count() == 60000);
}

TEST_CASE("bad messages throw InvalidInput and nothing else") {
  for (std::string bad : {"", "[]", "null", "{", "{}", R"({"type":1.5})", R"({"type":null})", R"({"type":"ack"})", R"({"type":"ack","sequence":"x"})",
                          R"({"type":"ack","sequence":1.5})", R"({"type":"heard"})", R"({"type":"heard","sent":"x"})", R"({"type":"dispatch"})", R"({"type":"dispatch","task":[]})",
                          R"({"type":"dispatch","task":{"id":"42"}})", R"({"type":"dispatch","task":{"id":"42","command":"x","cores":-1}})",
                          R"({"type":"kill","task_id":"../x","attempt":1})", R"({"type":"kill","task_id":"1","attempt":0})",
                          R"({"type":"kill","task_id":"1","attempt":99999999999})", R"({"type":"pause","task_id":"1","attempt":1})",
                          R"({"type":"open_logs","stream":"s","task_id":"1","attempt":1,"stdout_from":-1})",
                          R"({"type":"open_logs","stream":"s","task_id":"1","attempt":1,"part":{}})", R"({"type":"open_logs","stream":"s","task_id":"1","attempt":1,"part":5})",
                          R"({"type":"open_logs","stream":"s","task_id":"1","attempt":1,"part":{"file":"x","tail":"y"}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"klingon","rows":1,"cols":1,"env":{}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":0,"cols":1,"env":{}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":1,"cols":65536,"env":{}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":1,"cols":1,"env":{"TERM":5}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":1,"cols":1,"env":{},"session":"main"})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":1,"cols":1,"env":{},"session":{"name":"../x"}})",
                          R"({"type":"open_terminal","stream":"s","task_id":"1","attempt":1,"dialect":"json","rows":1,"cols":1,"env":{},"session":{"name":"x","resume":"1.1"}})",
                          R"({"type":"sessions","task_id":"1","attempt":1})", R"({"type":"welcome","epoch":{}})",
                          R"({"type":"welcome"})", "\xff\xfe"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_host_message(bad), InvalidInput);
  }
}

TEST_CASE("the hello carries what the protocol lists") {
  Inventory inventory;
  inventory.node = "n1";
  inventory.cores = 4;
  inventory.memory_bytes = 1000;
  auto hello = json::parse(hello_text(inventory, "1.2", {{{TaskId(9), 2}, 5, TaskState::assigning, {1}, {}, "ab"}}));
  CHECK(hello["type"] == "hello");
  CHECK(hello["protocol"] == 1);
  CHECK(hello["node"] == "n1");
  CHECK(hello["version"] == "1.2");
  CHECK(hello["numa"].is_null());
  CHECK(hello["gpus"] == json::array());
  CHECK(hello["host_tasks"] == false);
  CHECK(hello["terminals"] == true);
  CHECK(hello["sessions"] == true);
  CHECK(hello["vpses"] == true);
  CHECK(hello["snapshots"] == true);
  CHECK(hello["attempts"] == json::array({{{"task_id", "9"}, {"attempt", 2}, {"epoch", 5}, {"state", "assigning"}, {"gpus", {1}}, {"cpus", json::array()}, {"claim", "ab"}}}));

  inventory.numa[0] = {{0, 1}, 500};
  os::Gpu gpu;
  gpu.gpu_id = 3;
  gpu.name = "H\xff";  // not UTF-8: must not make the hello impossible
  inventory.gpus.push_back(gpu);
  hello = json::parse(hello_text(inventory, "1.2", {}));
  CHECK(hello["numa"]["0"]["cores"] == json::array({0, 1}));
  CHECK(hello["gpus"][0]["gpu_id"] == 3);
  CHECK(hello["gpus"][0].size() == 15);
}

TEST_CASE("heartbeats, reports and results") {
  os::Load load;
  load.cpu_percent = 12.5;
  load.maximum_temperature = 60.0;
  auto beat = json::parse(heartbeat_text(std::chrono::milliseconds(77), load, {}, {TaskId(1), TaskId(2)}));
  CHECK(beat["sent"] == 77);
  CHECK(beat["cpu_percent"] == 12.5);
  CHECK(beat["temperature_avg"].is_null());
  CHECK(beat["temperature_max"] == 60.0);
  CHECK(beat["running"] == json::array({"1", "2"}));

  TaskReport report;
  report.id = TaskId(1);
  report.state = TaskState::failed;
  report.message = "bad \xff byte";
  auto text = json::parse(report_text(8, report));
  CHECK(text["sequence"] == 8);
  CHECK(text["report"]["state"] == "failed");

  // the request of a result comes back as it came, be it a string or a number
  CHECK(json::parse(result_text("\"r1\"", true, "ok"))["request"] == "r1");
  CHECK(json::parse(result_text("17", false, "no"))["request"] == 17);
}
