// A whole runner against a host played by the test. Docker is away here: tests/daemon has it.
#include <doctest/doctest.h>

#include <filesystem>

#include "base/error.hpp"
#include "fake_host.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using test::FakeHost;
using test::json;

namespace {

struct RunnerFixture {
  test::TemporaryFolder dir;
  boost::asio::io_context loop;
  FakeHost host{loop};
  std::unique_ptr<runner::Runner> runner;

  Config config() {
    Config c;
    c.paths.state_dir = dir.path() / "state";
    c.paths.shared_dir = dir.path() / "share";
    c.paths.local_temp_dir = dir.path() / "local";
    c.docker.container_dir = "containers";
    c.docker.endpoint = "unix://" + (dir.path() / "no-docker.sock").string();
    c.runner.name = "n1";
    c.host_url = "http://127.0.0.1:" + std::to_string(host.port());
    return c;
  }
  void start(const std::string& token = {}) {
    std::filesystem::create_directories(dir.path() / "share/containers");
    runner = std::make_unique<runner::Runner>(loop, runner::RunnerOptions{config(), token});
    runner->start();
  }
  TaskSpec task(std::uint64_t id) {
    TaskSpec t;
    t.id = TaskId(id);
    t.command = "true";
    t.environment = "py";
    t.stdout_file = "task_outputs/" + t.id.str() + ".out";
    t.stderr_file = "task_errors/" + t.id.str() + ".err";
    return t;
  }
  bool synced(int links = 1) {
    return host.wait([&] { return host.of_type("synced").size() >= static_cast<size_t>(links); });
  }
  ~RunnerFixture() {
    if (runner) runner->stop();
    runner.reset();
  }
};

}  // namespace

TEST_CASE("a runner says hello, then synced, then beats") {
  RunnerFixture f;
  f.host.token = "secret";
  f.start("secret");
  REQUIRE(f.host.wait([&] { return f.host.of_type("heartbeat").size() >= 3; }));
  REQUIRE(f.host.received[0]["type"] == "hello");
  CHECK(f.host.received[0]["node"] == "n1");
  CHECK(f.host.received[0]["cores"].get<int>() > 0);
  CHECK(f.host.received[0]["attempts"] == json::array());
  CHECK(f.host.of_type("synced").size() == 1);
  CHECK(f.host.of_type("heartbeat")[0]["memory_total_bytes"].get<std::uint64_t>() > 0);
}

TEST_CASE("start() never throws for a host that is away; the runner finds it when it comes") {
  RunnerFixture f;
  auto port = f.host.port();
  f.host.go_away();
  f.start();
  f.host.wait([] { return false; }, 1);
  f.host.listen(port);
  CHECK(f.synced());
}

TEST_CASE("a host that restarts is joined again") {
  RunnerFixture f;
  f.start();
  REQUIRE(f.synced());
  auto port = f.host.port();
  f.host.go_away();
  f.host.wait([] { return false; }, 1);
  f.host.listen(port);
  CHECK(f.synced(2));
  CHECK(f.host.of_type("hello").size() == 2);
}

TEST_CASE("a host that does not answer any more is dialled again; an older one that never did is left alone") {
  RunnerFixture f;
  SUBCASE("it answered") {
    f.start();
    REQUIRE(f.host.wait([&] { return f.host.of_type("heartbeat").size() >= 3; }));
    f.host.hears = false;
    REQUIRE(f.synced(2));
    f.host.hears = true;
    const auto beats = f.host.of_type("heartbeat").size();
    CHECK(f.host.wait([&] { return f.host.of_type("heartbeat").size() >= beats + 9; }));
    CHECK(f.host.links == 2);
  }
  SUBCASE("it never did") {
    f.host.hears = false;
    f.start();
    CHECK(f.host.wait([&] { return f.host.of_type("heartbeat").size() >= 12; }));
    CHECK(f.host.links == 1);
  }
}

TEST_CASE("a wrong token is tried again, not given up") {
  RunnerFixture f;
  f.host.token = "right";
  f.start("wrong");
  REQUIRE(f.host.wait([&] { return f.host.refused >= 1; }));
  f.host.token = "wrong";  // the administrator set the other side right
  CHECK(f.synced());
}

TEST_CASE("a refused hello leads to another try") {
  RunnerFixture f;
  f.host.refusal = {{"type", "refused"}, {"message", "the name is in use"}};
  f.start();
  REQUIRE(f.host.wait([&] { return f.host.of_type("hello").size() == 1; }));
  f.host.refusal = nullptr;
  CHECK(f.synced());
}

TEST_CASE("rubbish from the host is ignored and the link stays") {
  RunnerFixture f;
  f.start();
  REQUIRE(f.synced());
  f.host.link->send("{{{", false);
  f.host.link->send(std::string("\0\1\2", 3), true);
  f.host.send({{"type", "sing"}});
  f.host.send({{"type", "dispatch"}, {"task", {{"id", "x"}}}});
  f.host.send({{"type", "kill"}, {"task_id", "12345"}, {"attempt", 1}});
  auto beats = f.host.of_type("heartbeat").size();
  CHECK(f.host.wait([&] { return f.host.of_type("heartbeat").size() >= beats + 3; }));
  CHECK(f.host.links == 1);
}

TEST_CASE("a task that cannot run fails with a reason, and is over for the runner") {
  RunnerFixture f;
  f.start();
  REQUIRE(f.synced());

  SUBCASE("a bad environment name") {
    auto t = f.task(1);
    t.environment = "../x";
    f.host.dispatch(t);
    REQUIRE(f.host.wait([&] { return f.host.is_over(t.id); }));
    CHECK(f.host.last_report(t.id)["state"] == "failed");
    CHECK_FALSE(f.host.last_report(t.id)["message"].get<std::string>().empty());
  }
  SUBCASE("an output file outside of the share") {
    auto t = f.task(1);
    t.stdout_file = "../../etc/passwd";
    f.host.dispatch(t);
    REQUIRE(f.host.wait([&] { return f.host.is_over(t.id); }));
    CHECK(f.host.last_report(t.id)["message"].get<std::string>().find("inside the share") != std::string::npos);
  }
  SUBCASE("Docker is away, or the environment does not exist") {
    auto t = f.task(1);
    f.host.dispatch(t);
    REQUIRE(f.host.wait([&] { return f.host.is_over(t.id); }));
    CHECK(f.host.last_report(t.id)["state"] == "failed");
    CHECK(f.host.last_report(t.id)["completed_at"].get<std::string>().size() > 10);
  }
  // over for the next hello, too
  f.host.link->close(1001, "");
  REQUIRE(f.synced(2));
  CHECK(f.host.of_type("hello")[1]["attempts"] == json::array());
}

// fault: dispatch-repeated
TEST_CASE("a second copy of a dispatch starts nothing") {
  RunnerFixture f;
  f.start();
  REQUIRE(f.synced());
  f.host.dispatch(f.task(1));
  REQUIRE(f.host.wait([&] { return f.host.is_over(TaskId(1)); }));
  auto reports = f.host.of_type("report").size();
  f.host.dispatch(f.task(1));
  f.host.wait([] { return false; }, 1);
  CHECK(f.host.of_type("report").size() == reports);
}

TEST_CASE("reports that the host never acknowledged come again after a break and after a restart of the runner") {
  RunnerFixture f;
  f.host.acknowledge = false;
  f.start();
  REQUIRE(f.synced());
  f.host.dispatch(f.task(1));
  f.host.dispatch(f.task(2));
  REQUIRE(f.host.wait([&] { return f.host.is_over(TaskId(1)) && f.host.is_over(TaskId(2)); }));
  auto first = f.host.of_type("report");

  f.host.received.clear();
  f.host.link->close(1001, "");
  REQUIRE(f.synced());
  CHECK(f.host.of_type("report") == first);

  f.host.received.clear();
  f.runner->stop();
  f.runner.reset();
  f.start();
  REQUIRE(f.synced());
  CHECK(f.host.of_type("report") == first);

  f.host.received.clear();
  f.host.send({{"type", "ack"}, {"sequence", first.back()["sequence"]}});
  f.host.wait([] { return false; }, 1);
  f.host.link->close(1001, "");
  REQUIRE(f.synced());
  CHECK(f.host.of_type("report").empty());
}

TEST_CASE("pause and open_logs of what is not here are answered") {
  RunnerFixture f;
  f.start();
  REQUIRE(f.synced());
  f.host.send({{"type", "pause"}, {"task_id", "99"}, {"attempt", 1}, {"request", "r9"}});
  REQUIRE(f.host.wait([&] { return !f.host.of_type("result").empty(); }));
  CHECK(f.host.of_type("result")[0]["request"] == "r9");
  CHECK(f.host.of_type("result")[0]["ok"] == false);
  f.host.send({{"type", "open_logs"}, {"stream", "s1"}, {"task_id", "99"}, {"attempt", 1}, {"stdout_from", 0}, {"stderr_from", 0}});
  REQUIRE(f.host.wait([&] { return f.host.streams.contains("s1") && f.host.streams["s1"]->closed; }));
  CHECK_FALSE(f.host.streams["s1"]->ended);
}

TEST_CASE("a bad node name is an error at once") {
  RunnerFixture f;
  auto config = f.config();
  config.runner.name = "a b";
  CHECK_THROWS_AS(runner::Runner(f.loop, {config, ""}), InvalidInput);
}
