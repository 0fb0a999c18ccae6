// Connections that become byte streams, and the two calls that outlive the daemon.
#include <doctest/doctest.h>
#include <poll.h>

#include "base/json.hpp"
#include "docker/shell.hpp"
#include "fake_daemon.hpp"

using namespace riverbox;
using namespace riverbox::docker;
using namespace riverbox::docker::test;

namespace {

const std::string kUpgraded = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

std::string read_all(Stream& stream) {
  std::string all;
  char buffer[1000];
  for (;;) {
    auto got = stream.read_some(buffer, sizeof buffer);
    if (got && *got == 0) return all;
    if (got) all.append(buffer, *got);
    pollfd waited{stream.wait_fd(), POLLIN, 0};
    if (!got && ::poll(&waited, 1, 5000) != 1) return all + "<timeout>";
  }
}

FakeDaemon::Handler exec_daemon(Answer& start) {
  return [&start](const Seen& seen) {
    if (seen.target.ends_with("/exec")) return json_answer(R"({"Id":"e1"})", 201);
    if (seen.target.ends_with("/start")) return start;
    return json_answer(R"({"Running":false,"ExitCode":3,"Id":"1","Name":"/c","State":{"Status":"exited","Running":false}})");
  };
}

}  // namespace

TEST_CASE("bytes that come together with the head belong to the stream, wherever the head is split") {
  Answer start;
  FakeDaemon daemon(exec_daemon(start));
  Engine engine(daemon.endpoint());
  const std::string all = kUpgraded + "hello";
  for (size_t at : {size_t(1), size_t(9), kUpgraded.size() - 2, kUpgraded.size(), kUpgraded.size() + 2, all.size()}) {
    start = Answer{{all.substr(0, at), all.substr(at)}, true};
    auto exec = engine.start_exec("c", {.command = {"x"}, .tty = true});
    CHECK(exec.id == "e1");
    CHECK(read_all(*exec.stream) == "hello");
  }
}

TEST_CASE("the window's size goes along where the engine can take it") {
  Answer start{{kUpgraded}, true};
  FakeDaemon daemon(exec_daemon(start), "1.45");
  Engine engine(daemon.endpoint());
  engine.start_exec("c", {.command = {"x"}, .tty = true, .rows = 10, .columns = 20});
  CHECK(nlohmann::json::parse(daemon.seen().at(0).body)["ConsoleSize"].dump() == "[10,20]");
  CHECK(nlohmann::json::parse(daemon.seen().at(1).body)["ConsoleSize"].dump() == "[10,20]");
  daemon.set_api("1.41");
  Engine older(daemon.endpoint());
  older.start_exec("c", {.command = {"x"}, .tty = true, .rows = 10, .columns = 20});
  CHECK_FALSE(nlohmann::json::parse(daemon.seen().at(2).body).contains("ConsoleSize"));
}

TEST_CASE("a hijack that is refused, cut or answered by something else") {
  Answer start;
  FakeDaemon daemon(exec_daemon(start));
  Engine engine(daemon.endpoint());
  auto open = [&] { engine.start_exec("c", {.command = {"x"}}); };
  start = json_answer(R"({"message":"Container c is paused, unpause the container before exec"})", 409);
  CHECK_THROWS_WITH_AS(open(), doctest::Contains("is paused"), ContainerExecutionError);
  start = chunked_answer({R"({"message":"boom"})"});
  start.pieces[0].replace(9, 3, "500");
  CHECK_THROWS_WITH_AS(open(), doctest::Contains("boom"), ContainerExecutionError);
  start = Answer{{"HTTP/1.1 101 UPG"}, true};
  CHECK_THROWS_AS(open(), DockerConnectionError);
  start = Answer{{"SSH-2.0-OpenSSH\r\n"}, true};
  CHECK_THROWS_AS(open(), DockerConnectionError);
}

TEST_CASE("run_exec collects both outputs, bounds them and gives the exit code") {
  Answer start{{kUpgraded + frame(1, "out"), frame(2, "err").substr(0, 5), frame(2, "err").substr(5)}, true};
  FakeDaemon daemon(exec_daemon(start));
  Engine engine(daemon.endpoint());
  auto result = engine.run_exec("c", {"x"}, std::chrono::seconds(5));
  CHECK(result.stdout_text == "out");
  CHECK(result.stderr_text == "err");
  CHECK(result.exit_code == 3);
  start = Answer{{kUpgraded}};
  CHECK_THROWS_AS(engine.run_exec("c", {"x"}, std::chrono::seconds(1)), Timeout);
  start = Answer{{kUpgraded}, true};
  for (int i = 0; i < 300; ++i) start.pieces[0] += std::string{1, 0, 0, 0, 0, 0, 0x10, 0} + std::string(0x1000, 'x');
  CHECK(engine.run_exec("c", {"x"}, std::chrono::seconds(5)).stdout_text.size() == 1 << 20);
}

TEST_CASE("a shell that cannot be opened says why") {
  Answer start;
  FakeDaemon daemon(exec_daemon(start));
  Engine engine(daemon.endpoint());
  start = Answer{{kUpgraded + "OCI runtime exec failed: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown\r\n"}, true};
  CHECK_THROWS_WITH_AS(ShellExec::open(engine, "c", {}), doctest::Contains("No suitable shell found in container."), ContainerExecutionError);
  start = Answer{{kUpgraded}};
  ShellExec::Options quick;
  quick.timeout = std::chrono::milliseconds(300);
  CHECK_THROWS_WITH_AS(ShellExec::open(engine, "c", quick), doctest::Contains("did not start in time"), ContainerExecutionError);
  start = json_answer(R"({"message":"Container 12 is not running"})", 409);
  try {
    ShellExec::open(engine, "c", {});
    FAIL("no error");
  } catch (const DockerError& error) {
    CHECK(error.kind() == ErrorKind::conflict);
    CHECK(std::string(error.what()).starts_with("Container 'c' is not running (status: exited). "));
  }
}

// fault: events-missed
TEST_CASE("waiting goes on after the daemon was away") {
  std::atomic<int> waits = 0;
  FakeDaemon daemon([&](const Seen& seen) {
    if (seen.target.ends_with("/json")) {
      bool over = waits >= 2;
      return json_answer(std::string(R"({"Id":"1","State":{"Status":")") + (over ? "exited" : "running") + R"(","Running":)" + (over ? "false" : "true") +
                         R"(,"ExitCode":42}})");
    }
    if (++waits == 1) return chunked_answer({}, true);  // an empty answer: the daemon shut down
    return chunked_answer({}, false);                   // broken: it crashed
  });
  Engine engine(daemon.endpoint());
  CHECK(engine.wait_container("c", {}).exit_code == 42);
  CHECK(waits == 2);
}

TEST_CASE("waiting for a container of a daemon that never was there fails at once") {
  Engine nowhere(Endpoint::parse("unix:///nonexistent/docker.sock"));
  CHECK_THROWS_AS(nowhere.wait_container("c", {}), DockerConnectionError);
}

// fault: events-missed
TEST_CASE("a followed log goes on after the daemon was away, with nothing twice") {
  std::atomic<int> reads = 0;
  FakeDaemon daemon([&](const Seen& seen) {
    if (seen.target.ends_with("/json"))
      return json_answer(reads >= 2 ? R"({"Id":"1","State":{"Status":"exited"}})" : R"({"Id":"1","State":{"Status":"running","Running":true}})");
    if (++reads == 1) return chunked_answer({frame(1, "one\n"), frame(2, "warn\n"), frame(1, "tw").substr(0, 9)}, false);
    return chunked_answer({frame(1, "one\ntwo\n") + frame(2, "warn\nend\n")});
  });
  Engine engine(daemon.endpoint());
  std::string out, err;
  engine.follow_logs("c", {}, [&](bool is_stderr, std::string_view bytes) { (is_stderr ? err : out) += bytes; });
  CHECK(out == "one\ntwo\n");
  CHECK(err == "warn\nend\n");
}
