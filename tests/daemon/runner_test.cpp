// A runner against a real Docker Engine ($RIVERBOX_TEST_RUNNER_DOCKER_HOST, $DOCKER_HOST or the local socket) with busybox:latest, and a
// host played by the test. Everything made here has the task ids and the environment name of this process and is removed.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "../unit/runner/fake_host.hpp"
#include "../unit/runner/temporary_folder.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "docker/engine.hpp"
#include "environment/share.hpp"

using namespace riverbox;
using test::FakeHost;
using test::json;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

docker::Endpoint endpoint() {
  const char* runner = std::getenv("RIVERBOX_TEST_RUNNER_DOCKER_HOST");
  return runner && *runner ? docker::Endpoint::parse(runner) : docker::Endpoint::from_environment();
}

docker::Engine& engine() {
  static docker::Engine engine(endpoint());
  return engine;
}

const docker::Naming kNaming("hakuriver");
const std::string kEnvironment = fmt::format("rbrunnertest{}", getpid());

TaskId next_id() { return TaskId::next(); }

// A share with the environment, a host, and a runner that can be restarted.
struct World {
  test::TemporaryFolder dir;
  boost::asio::io_context loop;
  FakeHost host{loop};
  std::unique_ptr<runner::Runner> runner;
  std::vector<TaskId> tasks;

  explicit World(bool image_present = true) {
    fs::create_directories(share() / "containers");
    const auto tag = kNaming.environment_image(kEnvironment);
    auto image = engine().inspect_image("busybox:latest");
    engine().tag_image(image.id, tag);
    std::ofstream tar(share() / "containers" / environment::Share::file_name(environment::EnvironmentName::parse(kEnvironment), unix_seconds(image.created)),
                      std::ios::binary);
    engine().save_image(tag, [&](std::string_view bytes) { tar.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); }, {});
    tar.close();
    if (!image_present) engine().untag_image(tag);
    start_runner();
  }
  ~World() {
    stop_runner();
    for (auto id : tasks) remove(kNaming.task_container(id));
    try {
      engine().untag_image(kNaming.environment_image(kEnvironment));
    } catch (const Error&) {
    }
  }
  static void remove(const std::string& container) {
    try {
      engine().remove_container(container, true);
    } catch (const Error&) {
    }
  }
  fs::path share() const { return dir.path() / "share"; }

  void start_runner() {
    Config c;
    c.paths.state_dir = dir.path() / "state";
    c.paths.shared_dir = share();
    c.paths.local_temp_dir = dir.path() / "local";
    c.docker.container_dir = "containers";
    c.docker.endpoint = endpoint().host;
    c.runner.name = "n1";
    c.host_url = "http://127.0.0.1:" + std::to_string(host.port());
    auto before = host.of_type("synced").size();
    runner = std::make_unique<runner::Runner>(loop, runner::RunnerOptions{c, ""});
    runner->start();
    REQUIRE(host.wait([&] { return host.of_type("synced").size() > before; }));
  }
  void stop_runner() {
    if (runner) runner->stop();
    runner.reset();
    host.wait([&] { return !host.link; });
  }

  TaskSpec task(const std::string& command) {
    TaskSpec t;
    t.id = next_id();
    t.command = command;
    t.cores = 0;
    t.environment = kEnvironment;
    t.stdout_file = "task_outputs/" + t.id.str() + ".out";
    t.stderr_file = "task_errors/" + t.id.str() + ".err";
    tasks.push_back(t.id);
    return t;
  }
  json run(const TaskSpec& t) {
    host.dispatch(t);
    REQUIRE(host.wait([&] { return host.is_over(t.id); }, 60));
    return host.last_report(t.id);
  }
  bool running(TaskId id) {
    return host.wait([&] { return !host.states(id).empty() && host.states(id).back() == "running"; }, 30);
  }
  bool ends(TaskId id, int seconds = 30) {
    return host.wait([&] { return host.is_over(id); }, seconds);
  }
  std::string out(const TaskSpec& t) { return test::contents(share() / t.stdout_file); }
  std::string err(const TaskSpec& t) { return test::contents(share() / t.stderr_file); }
  bool container_gone(TaskId id) {
    return host.wait([&] {
      try {
        engine().inspect_container(kNaming.task_container(id));
        return false;
      } catch (const docker::ContainerNotFoundError&) {
        return true;
      }
    });
  }
  void kill(TaskId id) { host.send({{"type", "kill"}, {"task_id", id.str()}, {"attempt", 1}}); }
  json control(const char* what, TaskId id) {
    auto before = host.of_type("result").size();
    host.send({{"type", what}, {"task_id", id.str()}, {"attempt", 1}, {"request", "r"}});
    REQUIRE(host.wait([&] { return host.of_type("result").size() > before; }));
    return host.of_type("result").back();
  }
};

}  // namespace

TEST_CASE("a task runs in its environment, its output is complete before the final report, its container goes") {
  World w(false);
  auto t = w.task("echo \"$0 $HAKURIVER_TASK_ID $HAKURIVER_SHARED_DIR $HAKURIVER_LOCAL_TEMP_DIR $COLOUR $(pwd)\"; echo problem >&2; touch /shared/was-here /local_temp/here-too");
  t.env = {{"COLOUR", "blue"}};
  auto report = w.run(t);
  CHECK(report["state"] == "completed");
  CHECK(report["exit_code"] == 0);
  CHECK(report["message"] == "");
  CHECK(report["image_id"].get<std::string>().starts_with("sha256:"));
  CHECK(parse_rfc3339(report["completed_at"].get<std::string>()) >= parse_rfc3339(report["started_at"].get<std::string>()));
  CHECK(w.out(t) == fmt::format("/bin/sh {} /shared /local_temp blue /shared\n", t.id.str()));
  CHECK(w.err(t) == "problem\n");
  CHECK(fs::exists(w.share() / "shared_data/was-here"));
  CHECK(fs::exists(w.dir.path() / "local/here-too"));
  auto states = w.host.states(t.id);
  CHECK(states.back() == "completed");
  CHECK(std::find(states.begin(), states.end(), "syncing") != states.end());
  CHECK(std::find(states.begin(), states.end(), "running") != states.end());
  CHECK(w.container_gone(t.id));

  // the second time there is nothing to sync, and no state says so
  auto again = w.task("true");
  w.run(again);
  CHECK(w.host.states(again.id) == std::vector<std::string>{"assigning", "running", "completed"});
}

TEST_CASE("exit codes and programs that are not there") {
  World w;
  auto three = w.run(w.task("exit 3"));
  CHECK(three["state"] == "failed");
  CHECK(three["exit_code"] == 3);
  auto missing = w.task("no-such-program");
  auto report = w.run(missing);
  CHECK(report["state"] == "failed");
  CHECK(report["exit_code"] == 127);
  CHECK(w.container_gone(missing.id));
}

TEST_CASE("what cannot be made is a failure with a reason, and nothing is left") {
  World w;
  SUBCASE("an environment that does not exist") {
    auto t = w.task("true");
    t.environment = "no-such-environment";
    CHECK(w.run(t)["message"].get<std::string>().find("no-such-environment") != std::string::npos);
  }
  SUBCASE("a mount whose source is missing") {
    auto t = w.task("true");
    t.mounts = {MountSpec::parse("/no/such/folder:/data")};
    CHECK(w.run(t)["message"].get<std::string>().find("/no/such/folder") != std::string::npos);
    CHECK(w.container_gone(t.id));
  }
  SUBCASE("a working folder that is no folder") {
    auto t = w.task("true");
    t.working_dir = "/etc/passwd";
    CHECK(w.run(t)["state"] == "failed");
    CHECK(w.container_gone(t.id));
  }
  SUBCASE("a foreign container has the name") {
    auto t = w.task("true");
    docker::ContainerSpec foreign;
    foreign.image = engine().inspect_image("busybox:latest").id;
    foreign.command = {"true"};
    engine().create_container(kNaming.task_container(t.id), foreign);
    CHECK(w.run(t)["message"].get<std::string>().find("another container has that name") != std::string::npos);
    CHECK_NOTHROW(engine().inspect_container(kNaming.task_container(t.id)));  // left alone
  }
}

// fault: task-unruly
TEST_CASE("a task that uses more memory than it may is killed_oom") {
  World w;
  // The second: on a loaded machine an engine misses the kernel's word for good when the container ends in the same moment (3 of 80).
  auto t = w.task("head -c 100000000 /dev/zero | tail -c 90000000 | wc -c; sleep 1; exit 1");
  t.memory_bytes = 20'000'000;
  CHECK(w.run(t)["state"] == "killed_oom");
}

TEST_CASE("kill works in every state") {
  World w;
  SUBCASE("before there is a container") {
    auto t = w.task("sleep 100");
    w.host.dispatch(t);
    w.kill(t.id);
    REQUIRE(w.ends(t.id));
    CHECK(w.host.last_report(t.id)["state"] == "killed");
    CHECK(w.container_gone(t.id));
  }
  SUBCASE("around the start") {
    for (int milliseconds : {20, 60, 100, 150, 200, 300}) {
      auto t = w.task("sleep 100");
      w.host.dispatch(t);
      w.host.wait([until = Clock::now() + std::chrono::milliseconds(milliseconds)] { return Clock::now() > until; });
      w.kill(t.id);
      REQUIRE(w.ends(t.id));
      CHECK(w.host.last_report(t.id)["state"] == "killed");
      CHECK(w.container_gone(t.id));
    }
  }
  SUBCASE("running, and it may clean up") {
    auto t = w.task("trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done");
    w.host.dispatch(t);
    REQUIRE(w.running(t.id));
    REQUIRE(w.host.wait([&] { return w.out(t) == "hello\n"; }));
    w.kill(t.id);
    REQUIRE(w.ends(t.id));
    CHECK(w.host.last_report(t.id)["state"] == "killed");
    CHECK(w.out(t) == "hello\nbye\n");
    CHECK(w.container_gone(t.id));
  }
  SUBCASE("running, and it ignores SIGTERM") {
    auto t = w.task("trap '' TERM; echo hello; while :; do sleep 1; done");
    w.host.dispatch(t);
    REQUIRE(w.host.wait([&] { return w.out(t) == "hello\n"; }));
    auto begin = Clock::now();
    w.kill(t.id);
    REQUIRE(w.ends(t.id));
    CHECK(Clock::now() - begin > std::chrono::seconds(9));
    CHECK(Clock::now() - begin < std::chrono::seconds(16));
    CHECK(w.host.last_report(t.id)["exit_code"] == 137);
  }
  SUBCASE("paused") {
    auto t = w.task("sleep 100");
    w.host.dispatch(t);
    REQUIRE(w.running(t.id));
    CHECK(w.control("pause", t.id)["ok"] == true);
    CHECK(w.host.wait([&] { return w.host.last_report(t.id)["state"] == "paused"; }));
    w.kill(t.id);
    REQUIRE(w.ends(t.id));
    CHECK(w.host.last_report(t.id)["state"] == "killed");
    CHECK(w.container_gone(t.id));
  }
}

TEST_CASE("pause and resume, twice each") {
  World w;
  auto t = w.task("i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); sleep 0.05; done");
  w.host.dispatch(t);
  REQUIRE(w.running(t.id));
  CHECK(w.control("pause", t.id)["ok"] == true);
  CHECK(w.control("pause", t.id)["ok"] == true);
  w.host.wait([] { return false; }, 1);
  auto frozen = w.out(t);
  w.host.wait([] { return false; }, 1);
  CHECK(w.out(t) == frozen);
  CHECK(w.control("resume", t.id)["ok"] == true);
  CHECK(w.control("resume", t.id)["ok"] == true);
  CHECK(w.host.wait([&] { return w.host.last_report(t.id)["state"] == "running"; }));
  CHECK(w.host.wait([&] { return w.out(t) != frozen; }));
  w.kill(t.id);
  CHECK(w.ends(t.id));
  CHECK(w.control("pause", t.id)["ok"] == false);
}

TEST_CASE("a follower sees output within milliseconds and every byte of it") {
  World w;
  auto t = w.task("read x < /shared/go; echo first; read x < /shared/go-on; head -c 5000000 /dev/urandom; echo last >&2");
  fs::create_directories(w.share() / "shared_data");
  for (const char* fifo : {"shared_data/go", "shared_data/go-on"}) REQUIRE(mkfifo((w.share() / fifo).c_str(), 0666) == 0);  // a second reader of one might meet its first writer
  w.host.dispatch(t);
  REQUIRE(w.running(t.id));
  w.host.send({{"type", "open_logs"}, {"stream", "s1"}, {"task_id", t.id.str()}, {"attempt", 1}, {"stdout_from", 0}, {"stderr_from", 0}});
  REQUIRE(w.host.wait([&] { return w.host.streams.contains("s1"); }));
  auto& stream = *w.host.streams["s1"];
  std::ofstream(w.share() / "shared_data/go") << "\n";
  auto begin = Clock::now();
  REQUIRE(w.host.wait([&] { return stream.output[0] == "first\n"; }));
  auto latency = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  MESSAGE("container output to follower: ", latency, " ms");
  CHECK(latency < 500);
  std::ofstream(w.share() / "shared_data/go-on") << "\n";
  REQUIRE(w.host.wait([&] { return stream.closed; }, 60));
  CHECK(stream.ended);
  CHECK(stream.output[0].size() == 5000006);
  CHECK(stream.output[0] == w.out(t));
  CHECK(stream.output[1] == "last\n");
}

// fault: runner-killed
TEST_CASE("tasks outlive their runner and are taken up again") {
  World w;
  auto goes_on = w.task("echo begin; sleep 6; echo end; exit 4");
  auto ends_meanwhile = w.task("echo short; sleep 2; echo done");
  w.host.dispatch(goes_on);
  w.host.dispatch(ends_meanwhile);
  REQUIRE(w.running(goes_on.id));
  REQUIRE(w.running(ends_meanwhile.id));
  auto begin = Clock::now();
  w.stop_runner();
  CHECK(Clock::now() - begin < std::chrono::seconds(5));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  CHECK_FALSE(w.host.is_over(ends_meanwhile.id));
  w.host.received.clear();
  w.start_runner();
  CHECK(w.host.of_type("hello")[0]["attempts"].size() == 2);
  REQUIRE(w.ends(goes_on.id));
  REQUIRE(w.ends(ends_meanwhile.id));
  CHECK(w.host.last_report(ends_meanwhile.id)["state"] == "completed");
  CHECK(w.out(ends_meanwhile) == "short\ndone\n");
  CHECK(w.host.last_report(goes_on.id)["exit_code"] == 4);
  CHECK(w.out(goes_on) == "begin\nend\n");
  CHECK(w.container_gone(goes_on.id));
  CHECK(w.container_gone(ends_meanwhile.id));
}

// fault: events-missed
TEST_CASE("a task whose container vanished while the runner was away is not run twice") {
  World w;
  auto t = w.task("echo once >> /shared/runs; sleep 100");
  w.host.dispatch(t);
  REQUIRE(w.running(t.id));
  REQUIRE(w.host.wait([&] { return fs::exists(w.share() / "shared_data/runs"); }));
  w.stop_runner();
  engine().remove_container(kNaming.task_container(t.id), true);
  w.start_runner();
  REQUIRE(w.ends(t.id));
  CHECK(w.host.last_report(t.id)["state"] == "failed");
  CHECK(test::contents(w.share() / "shared_data/runs") == "once\n");
}

// fault: host-killed
TEST_CASE("a host restart disturbs nothing and loses no report") {
  World w;
  auto t = w.task("echo begin; sleep 1; echo end");
  w.host.dispatch(t);
  REQUIRE(w.running(t.id));
  auto port = w.host.port();
  w.host.go_away();
  w.host.wait([] { return false; }, 3);
  w.host.received.clear();
  w.host.listen(port);
  REQUIRE(w.ends(t.id));
  CHECK(w.host.last_report(t.id)["state"] == "completed");
  CHECK(w.host.received[0]["type"] == "hello");
  CHECK(w.host.received[0]["attempts"] == json::array());  // over, and its report follows
  CHECK(w.out(t) == "begin\nend\n");
}

// fault: shell-dies
TEST_CASE("a container that somebody removes fails its task with that reason") {
  World w;
  auto t = w.task("sleep 100");
  w.host.dispatch(t);
  REQUIRE(w.running(t.id));
  engine().remove_container(kNaming.task_container(t.id), true);
  REQUIRE(w.ends(t.id));
  CHECK(w.host.last_report(t.id)["state"] == "failed");
}

TEST_CASE("an output folder that cannot be written does not stop the task") {
  World w;
  std::ofstream(w.share() / "blocked") << "not a folder";
  auto t = w.task("echo lost; echo kept >&2; touch /shared/done");
  t.stdout_file = "blocked/x.out";
  auto report = w.run(t);
  CHECK(report["state"] == "completed");
  CHECK(report["message"].get<std::string>().find("output is incomplete") != std::string::npos);
  CHECK(w.err(t) == "kept\n");
  CHECK(fs::exists(w.share() / "shared_data/done"));
}

TEST_CASE("many short tasks at once lose no output") {
  World w;
  std::vector<TaskSpec> tasks;
  for (int i = 0; i < 12; ++i) tasks.push_back(w.task(fmt::format("echo out {0}; echo err {0} >&2", i)));
  for (auto& t : tasks) w.host.dispatch(t);
  for (size_t i = 0; i < tasks.size(); ++i) {
    REQUIRE(w.ends(tasks[i].id, 90));
    CHECK(w.host.last_report(tasks[i].id)["state"] == "completed");
    CHECK(w.out(tasks[i]) == fmt::format("out {}\n", i));
    CHECK(w.err(tasks[i]) == fmt::format("err {}\n", i));
  }
}

int main(int argc, char** argv) {
  try {
    engine().ping();
    engine().inspect_image("busybox:latest");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "SKIPPED: no Docker Engine with busybox:latest for the runner's tests: %s\n", error.what());
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
