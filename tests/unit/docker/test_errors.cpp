// Every way in which a daemon can disappoint, against a fake one.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.hpp"
#include "docker/api.hpp"
#include "fake_daemon.hpp"

using namespace riverbox;
using namespace riverbox::docker;
using namespace riverbox::docker::test;
using Clock = std::chrono::steady_clock;

namespace {

// The error of `work`, checked for its type.
template <class Expected, class Work>
Expected error_of(Work work) {
  try {
    work();
  } catch (const Expected& error) {
    return error;
  } catch (const std::exception& error) {
    FAIL("another error: " << error.what());
  }
  FAIL("no error");
  throw 0;
}

std::string message(const std::string& text) { return nlohmann::json{{"message", text}}.dump(); }

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

TEST_CASE("no daemon: the error says what to start") {
  Engine nowhere(Endpoint::parse("unix:///nonexistent/docker.sock"));
  auto error = error_of<DockerConnectionError>([&] { nowhere.ping(); });
  CHECK(error.kind() == ErrorKind::unavailable);
  CHECK(error.fact().find("/nonexistent/docker.sock") != std::string::npos);
  CHECK(error.next().find("systemctl start docker") != std::string::npos);

  std::string stale;
  { FakeDaemon daemon([](auto&) { return Answer{}; }); stale = daemon.endpoint().host; }
  CHECK_THROWS_AS(Engine(Endpoint::parse(stale)).list_containers(), DockerConnectionError);
  auto refused = error_of<DockerConnectionError>([] { Engine(Endpoint::parse("tcp://127.0.0.1:1")).ping(); });
  CHECK(refused.fact().find("tcp://127.0.0.1:1") != std::string::npos);
}

TEST_CASE("no permission on the socket: the error names the docker group" * doctest::skip(::geteuid() != 0)) {
  FakeDaemon daemon([](auto&) { return json_answer("[]"); });
  ::chmod(daemon.endpoint().host.substr(7).c_str(), 0600);
  ::chmod(daemon.endpoint().host.substr(7, daemon.endpoint().host.rfind('/') - 7).c_str(), 0755);
  REQUIRE(::seteuid(65534) == 0);
  std::string next;
  try {
    Engine(daemon.endpoint()).ping();
  } catch (const DockerConnectionError& error) {
    next = error.next();
  }
  REQUIRE(::seteuid(0) == 0);
  CHECK(next.find("docker group") != std::string::npos);
}

// fault: docker-silent
TEST_CASE("a daemon that accepts and never answers is given up") {
  FakeDaemon daemon([](auto&) { Answer answer; answer.never = true; return answer; });
  Api api(daemon.endpoint());
  Call call;
  call.request.action = "list containers";
  call.request.path = "/containers/json";
  call.request.silence = std::chrono::milliseconds(300);
  auto start = Clock::now();
  auto error = error_of<DockerConnectionError>([&] { api.send(call); });
  CHECK(seconds_since(start) < 2);
  CHECK(error.fact().find("did not answer within 0.3 s") != std::string::npos);
}

TEST_CASE("a cancelled or late call ends within a moment, though no byte moves") {
  FakeDaemon daemon([](auto&) { Answer answer; answer.never = true; return answer; });
  Engine engine(daemon.endpoint());
  auto start = Clock::now();
  CancelToken token;
  std::thread canceller([&] { std::this_thread::sleep_for(std::chrono::milliseconds(200)); token.cancel(); });
  CHECK_THROWS_AS(engine.commit("c", {}, {}, token), Cancelled);
  canceller.join();
  CancelToken late;
  late.set_deadline(Clock::now() + std::chrono::milliseconds(200));
  CHECK_THROWS_AS(engine.save_image("x", [](std::string_view) {}, late), Timeout);
  CHECK(seconds_since(start) < 1.5);
}

TEST_CASE("garbage is told apart from a daemon") {
  FakeDaemon daemon([](const Seen& seen) {
    if (seen.target.starts_with("/containers/json")) return json_answer("<html>");
    if (seen.target.starts_with("/images/json")) return json_answer("{\"unexpected\":1}");
    if (seen.target.starts_with("/info")) return json_answer("null");
    return Answer{{"SSH-2.0-OpenSSH_9.2\r\n"}, true};
  });
  Engine engine(daemon.endpoint());
  auto error = error_of<DockerError>([&] { engine.list_containers(); });
  CHECK(error.fact() == "cannot list containers: the Docker daemon's answer is not JSON: '<html>'");
  CHECK(engine.list_images_tagged("x").empty());
  CHECK_FALSE(engine.containerd_store());
  CHECK_FALSE(engine.has_gpu_runtime());
  CHECK_THROWS_AS(engine.inspect_container("x"), DockerConnectionError);
}

TEST_CASE("where images are kept, and whether containers may have GPUs") {
  std::string info;
  FakeDaemon daemon([&info](const Seen&) { return json_answer(info); });
  Engine engine(daemon.endpoint());
  info = R"({"Driver":"overlay2","DockerRootDir":"/var/lib/docker","DriverStatus":[["Backing Filesystem","extfs"]],"Runtimes":{"runc":{},"nvidia":{}}})";
  CHECK(engine.store().driver == "overlay2");
  CHECK(engine.store().data_root == "/var/lib/docker");
  CHECK_FALSE(engine.containerd_store());
  CHECK(engine.has_gpu_runtime());
  info = R"({"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"Runtimes":{"runc":{}},"DiscoveredDevices":[{"ID":"nvidia.com/gpu=0"}]})";
  CHECK(engine.containerd_store());
  CHECK(engine.has_gpu_runtime());
  info = R"({"Driver":7,"DriverStatus":"x","Runtimes":[],"DiscoveredDevices":[7,{"ID":"amd.com/gpu=0"}]})";
  CHECK(engine.store().driver.empty());
  CHECK_FALSE(engine.has_gpu_runtime());
}

// fault: docker-silent
TEST_CASE("a connection that breaks in the middle of a body is an error, not a short answer") {
  FakeDaemon daemon([](const Seen& seen) {
    if (seen.target.starts_with("/images/")) return chunked_answer({"first ", "second"}, false);
    return Answer{{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]"}, true};
  });
  Engine engine(daemon.endpoint());
  std::string got;
  auto error = error_of<DockerConnectionError>([&] { engine.save_image("x:y", [&](std::string_view b) { got += b; }, {}); });
  CHECK(got == "first second");
  CHECK(error.fact() == "cannot save image 'x:y': the Docker daemon closed the connection in the middle of its answer");
  CHECK_THROWS_AS(engine.list_containers(), DockerConnectionError);
}

TEST_CASE("refusals become the errors of the hierarchy") {
  int status = 0;
  std::string text;
  FakeDaemon daemon([&](auto&) { return json_answer(message(text), status); });
  Engine engine(daemon.endpoint());
  auto answers = [&](int s, const char* t) { status = s; text = t; };
  CancelToken token;

  answers(404, "No such container: x");
  CHECK_THROWS_WITH_AS(engine.inspect_container("x"), doctest::Contains("cannot inspect container 'x': No such container: x"), ContainerNotFoundError);
  CHECK_THROWS_AS(engine.remove_container("x", true), ContainerNotFoundError);
  CHECK_THROWS_AS(engine.commit("x", {}, {}, token), ContainerNotFoundError);
  answers(404, "network lab not found");  // the container is there
  try {
    engine.start_container("x");
    FAIL("started");
  } catch (const ContainerNotFoundError&) {
    FAIL("not the container is missing");
  } catch (const DockerError& error) {
    CHECK(error.next().find("docker network create") != std::string::npos);
  }
  CHECK_FALSE(engine.has_network("lab"));
  answers(404, "No such image: y:latest");
  CHECK_FALSE(engine.find_image("y"));
  CHECK_THROWS_AS(engine.inspect_image("y"), ImageNotFoundError);
  CHECK_THROWS_AS(engine.save_image("y", [](std::string_view) {}, token), ImageNotFoundError);
  CHECK_THROWS_AS(engine.create_container("x", {}), ImageNotFoundError);
  answers(409, "Conflict. The container name \"/x\" is already in use by container \"abc\".");
  CHECK(error_of<ContainerCreationError>([&] { engine.create_container("x", {}); }).kind() == ErrorKind::conflict);
  answers(400, "invalid reference format");
  CHECK(error_of<ContainerCreationError>([&] { engine.create_container("x", {}); }).kind() == ErrorKind::invalid_input);
  answers(500, "could not select device driver \"\" with capabilities: [[gpu]]");
  CHECK(error_of<ResourceAllocationError>([&] { engine.start_container("x"); }).next().find("NVIDIA") != std::string::npos);
  answers(400, "Requested CPUs are not available - requested 0-5, available: 0-1");
  CHECK_THROWS_AS(engine.create_container("x", {}), ResourceAllocationError);
  answers(400, "invalid mount config for type \"bind\": bind source path does not exist: /nope");
  CHECK(error_of<ContainerCreationError>([&] { engine.create_container("x", {}); }).next().find("folder") != std::string::npos);
  answers(500, "max depth exceeded");
  CHECK(error_of<ImageBuildError>([&] { engine.commit("x", {}, {}, token); }).next().find("layers") != std::string::npos);
  answers(500, "write /var/lib/docker/tmp: no space left on device");
  CHECK(error_of<ImageExportError>([&] { engine.save_image("x", [](std::string_view) {}, token); }).next().find("Free space") != std::string::npos);
  answers(409, "conflict: unable to remove repository reference \"x\" (must force) - container abc is using its referenced image");
  CHECK(error_of<DockerError>([&] { engine.untag_image("x"); }).kind() == ErrorKind::conflict);
  answers(500, "something odd");
  CHECK(error_of<DockerError>([&] { engine.kill_container("x"); }).next().find("journalctl") != std::string::npos);
  answers(304, "");
  engine.start_container("x");
  engine.stop_container("x", std::chrono::seconds(1));
}

TEST_CASE("a hostile name stays one name, and control characters never reach the terminal") {
  FakeDaemon daemon([](auto&) { return json_answer(message("evil \x1b[2J"), 500); });
  Engine engine(daemon.endpoint());
  auto error = error_of<DockerError>([&] { engine.inspect_container("../images/x?force=1"); });
  CHECK(std::string(error.what()).find('\x1b') == std::string::npos);
  CHECK(daemon.seen().back().target == "/containers/..%2Fimages%2Fx%3Fforce%3D1/json");
  CHECK_THROWS_AS(engine.remove_container("", true), InvalidInput);
  CHECK_THROWS_AS(engine.remove_container("..", true), InvalidInput);
  CHECK(daemon.seen().size() == 1);
}

TEST_CASE("a pull reports progress, and finds the error that a 200 carries") {
  std::vector<std::string> pieces;
  FakeDaemon daemon([&](auto&) { return chunked_answer(pieces); });
  Engine engine(daemon.endpoint());
  CancelToken token;
  pieces = {"{\"status\":\"Pulling from library/x\",\"id\":\"1\"}\r\n{\"status\":\"Downlo", "ading\",\"progressDetail\":{\"current\":5,\"tot",
            "al\":9},\"id\":\"a\"}\r", "\n{\"status\":\"Status: Downloaded newer image\"}\r\n"};
  std::uint64_t most = 0;
  engine.pull_image("127.0.0.1:5000/x", [&](const PullProgress& p) { most = std::max(most, p.current_bytes); }, token);
  CHECK(most == 5);
  CHECK(daemon.seen().back().target == "/images/create?fromImage=127.0.0.1%3A5000%2Fx&tag=latest");
  auto fails = [&](const std::string& cause) {
    pieces = {"{\"status\":\"x\"}\n", nlohmann::json{{"errorDetail", {{"message", cause}}}, {"error", cause}}.dump()};
  };
  fails("manifest for x:nope not found: manifest unknown: manifest unknown");
  CHECK_THROWS_AS(engine.pull_image("x:nope", {}, token), ImageNotFoundError);
  fails("toomanyrequests: You have reached your pull rate limit");
  CHECK(error_of<DockerError>([&] { engine.pull_image("x", {}, token); }).kind() == ErrorKind::unavailable);
  fails("write /var/lib/docker/tmp/x: no space left on device");
  CHECK(error_of<DockerError>([&] { engine.pull_image("x", {}, token); }).next().find("Free space") != std::string::npos);
}

TEST_CASE("a pull that the registry refuses at once") {
  std::string text;
  FakeDaemon daemon([&](auto&) { return json_answer(message(text), 500); });
  Engine engine(daemon.endpoint());
  CancelToken token;
  text = "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused";
  CHECK(error_of<DockerError>([&] { engine.pull_image("127.0.0.1:5000/x", {}, token); }).kind() == ErrorKind::unavailable);
  text = "Get \"https://nowhere/v2/\": dial tcp: lookup nowhere on 127.0.0.53:53: no such host";
  CHECK(error_of<DockerError>([&] { engine.pull_image("nowhere.x/y", {}, token); }).kind() == ErrorKind::unavailable);
  text = "pull access denied for x, repository does not exist or may require 'docker login': denied";
  CHECK(error_of<ImageNotFoundError>([&] { engine.pull_image("x", {}, token); }).next().find("docker login") != std::string::npos);
}

TEST_CASE("a load streams its body with its length and reports what the daemon said") {
  std::vector<std::string> lines;
  FakeDaemon daemon([&](auto&) { return chunked_answer(lines); });
  Engine engine(daemon.endpoint());
  const std::uint64_t size = 5 << 20;
  std::uint64_t left = size;
  auto source = [&](char* buffer, size_t room) {
    size_t n = static_cast<size_t>(std::min<std::uint64_t>({room, left, 100000}));
    std::fill(buffer, buffer + n, 'x');
    left -= n;
    return n;
  };
  lines = {"{\"stream\":\"Loaded im", "age: a:b\\n\"}\n"};
  auto result = engine.load_image(size, source, {});
  CHECK(result.loaded == std::vector<std::string>{"a:b"});
  CHECK(result.error.empty());
  auto seen = daemon.seen().back();
  CHECK(seen.body == std::string(size, 'x'));
  CHECK(seen.head.find("Content-Type: application/x-tar\r\n") != std::string::npos);
  CHECK(seen.head.find("Expect") == std::string::npos);

  left = size;
  lines = {"{\"errorDetail\":{\"message\":\"no such file\"},\"error\":\"no such file\"}\n"};
  CHECK(engine.load_image(size, source, {}).error == "no such file");
  left = size;
  lines = {};
  CHECK_FALSE(engine.load_image(size, source, {}).error.empty());  // a 200 that says nothing is not believed
  left = size / 2;
  CHECK_THROWS_WITH_AS(engine.load_image(size, source, {}), doctest::Contains("the data ended after 2621440 of 5242880 bytes"), ImageImportError);
  CHECK_THROWS_WITH_AS(engine.load_image(size, [](char*, size_t) -> size_t { throw IoError("read /share/x.tar", EIO); }, {}),
                       doctest::Contains("/share/x.tar"), IoError);
}

TEST_CASE("a daemon that refuses an archive before it has read it is still understood") {
  FakeDaemon daemon([](auto&) {
    auto answer = json_answer(message("no space left on device"), 500);
    answer.close_before_body = true;
    return answer;
  });
  Engine engine(daemon.endpoint());
  auto source = [](char* buffer, size_t room) { std::fill(buffer, buffer + room, 'x'); return room; };
  try {
    engine.load_image(1ull << 30, source, {});
    FAIL("no error");
  } catch (const DockerError& error) {  // the words, or at least that the connection was closed: the kernel may drop them
    CHECK(error.kind() != ErrorKind::internal);
  }
}

TEST_CASE("errors of the sink pass through, and the connection is not used again") {
  FakeDaemon daemon([](const Seen& seen) { return seen.target.ends_with("/get") ? chunked_answer({"a", "b", "c"}) : json_answer("[]"); });
  Engine engine(daemon.endpoint());
  CHECK_THROWS_AS(engine.save_image("x", [](std::string_view) { throw IoError("write x.tar", ENOSPC); }, {}), IoError);
  int before = daemon.connections();
  engine.list_containers();
  CHECK(daemon.connections() == before + 1);
}

TEST_CASE("connections are reused, also by many threads, and replaced after a restart of the daemon") {
  FakeDaemon daemon([](auto&) { return json_answer("[]"); });
  Engine engine(daemon.endpoint());
  for (int i = 0; i < 20; ++i) engine.list_containers();
  CHECK(daemon.connections() == 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { for (int i = 0; i < 20; ++i) engine.list_containers(); });
  for (auto& thread : threads) thread.join();
  CHECK(daemon.connections() <= 5);
  daemon.drop_connections();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  engine.list_containers();
}

// fault: docker-version
TEST_CASE("the version is the newest both speak, and is agreed on again when the daemon changes") {
  std::string refusal;
  FakeDaemon daemon(
      [&](const Seen& seen) {
        if (!refusal.empty() && seen.head.find("/v1.41/") != std::string::npos) return json_answer(message(refusal), 400);
        if (seen.target == "/version") return json_answer(R"({"Version":"29.1","ApiVersion":"1.99","MinAPIVersion":"1.44"})");
        return json_answer("[]");
      },
      "1.41");
  Engine engine(daemon.endpoint());
  engine.list_containers();
  CHECK(daemon.seen().back().head.find("GET /v1.41/containers/json") == 0);
  daemon.set_api("1.99");
  refusal = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version";
  engine.list_containers();
  CHECK(daemon.seen().back().head.find("GET /v1.51/containers/json") == 0);
  CHECK(engine.version().api == "1.51");
  CHECK(engine.version().engine == "29.1");
}

// fault: docker-version
TEST_CASE("a daemon that is too old, too new or none at all") {
  FakeDaemon daemon([](auto&) { return json_answer(message("client version 1.51 is too old. Minimum supported API version is 1.60"), 400); }, "1.70");
  auto error = error_of<DockerError>([&] { Engine(daemon.endpoint()).list_containers(); });
  CHECK(error.fact().find("Minimum supported API version is 1.60") != std::string::npos);
  CHECK(error.next().find("newer riverbox") != std::string::npos);
  daemon.set_api("1.24");
  CHECK_THROWS_WITH_AS(Engine(daemon.endpoint()).list_containers(), doctest::Contains("older than 1.40"), DockerError);
  daemon.set_api("");
  CHECK_THROWS_WITH_AS(Engine(daemon.endpoint()).list_containers(), doctest::Contains("not a Docker Engine"), DockerConnectionError);
}

TEST_CASE("answers with missing and null fields are read") {
  FakeDaemon daemon([](const Seen& seen) {
    if (seen.target.starts_with("/images/"))
      return json_answer(R"({"Id":"sha256:1","RootFS":{},"RepoTags":null,"Created":"","Config":{"Cmd":null,"Entrypoint":["/e"]},"Size":null})");
    if (seen.target == "/containers/json?all=1")
      return json_answer(R"([{"Id":"1","Names":["/other/alias","/own"],"Labels":null},{"Names":null},null])");
    return json_answer(R"({"Id":"1","Name":"/n","Config":{"Labels":{"a":"b","c":null}},"State":{"Status":"exited","ExitCode":137,"OOMKilled":true}})");
  });
  Engine engine(daemon.endpoint());
  auto image = engine.inspect_image("x");
  CHECK(image.diff_ids.empty());
  CHECK_FALSE(image.command);
  CHECK(image.entrypoint == std::vector<std::string>{"/e"});
  auto list = engine.list_containers();
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "own");
  auto container = engine.inspect_container("n");
  CHECK(container.name == "n");
  CHECK(container.labels == Naming::Labels{{"a", "b"}, {"c", ""}});
  CHECK(container.state.exit_code == 137);
  CHECK(container.state.oom_killed);
}

TEST_CASE("how much a container has changed is asked for by itself, and nothing is made up") {
  FakeDaemon daemon([](const Seen&) {
    return json_answer(R"([{"Id":"1","SizeRw":70,"SizeRootFs":100},{"Id":"2","SizeRootFs":100},{"Id":"3","SizeRw":-1,"SizeRootFs":100},{"Id":"4"}])");
  });
  Engine engine(daemon.endpoint());
  const auto list = engine.list_containers("a", true);
  CHECK(daemon.seen().back().target == "/containers/json?all=1&size=1&filters=%7B%22label%22%3A%5B%22a%22%5D%7D");
  REQUIRE(list.size() == 4);
  CHECK(list[0].changed_bytes == 70u);
  CHECK(list[1].changed_bytes == 0u);  // left out where it is 0
  CHECK_FALSE(list[2].changed_bytes);
  CHECK_FALSE(list[3].changed_bytes);
  CHECK_FALSE(engine.list_containers().front().changed_bytes);
}

TEST_CASE("a container is created as it was specified") {
  FakeDaemon daemon([](auto&) { return json_answer(R"({"Id":"abc","Warnings":null})", 201); });
  Engine engine(daemon.endpoint());
  ContainerSpec spec;
  spec.image = "sha256:1";
  spec.entrypoint = std::vector<std::string>{};
  spec.command = {"sh", "-c", "x"};
  spec.env = {"A=1"};
  spec.mounts = {{"/src", "/dst", true}};
  spec.gpus = {0, 3};
  spec.cpus = 1.5;
  spec.memory_bytes = 1 << 30;
  spec.labels = {{"k", "v"}};
  CHECK(engine.create_container("my name", spec) == "abc");
  CHECK(daemon.seen().back().target == "/containers/create?name=my%20name");
  auto body = nlohmann::json::parse(daemon.seen().back().body);
  CHECK(body["Entrypoint"] == nlohmann::json::array());
  CHECK(body["Cmd"].size() == 3);
  CHECK(body["Labels"]["k"] == "v");
  auto& host = body["HostConfig"];
  CHECK(host["NanoCpus"] == 1500000000);
  CHECK(host["Memory"] == 1 << 30);
  CHECK(host["DeviceRequests"].dump() == R"([{"Capabilities":[["gpu"]],"DeviceIDs":["0","3"],"Driver":""}])");
  CHECK(host["Mounts"].dump() == R"([{"ReadOnly":true,"Source":"/src","Target":"/dst","Type":"bind"}])");
  CHECK_FALSE(host.contains("Privileged"));
  engine.list_containers("a.b=true");
  CHECK(daemon.seen().back().target == "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a.b%3Dtrue%22%5D%7D");
  spec.env = {"A=\xff"};
  CHECK_THROWS_AS(engine.create_container("x", spec), InvalidInput);
}

TEST_CASE("a container does not end before it has started, whatever the daemon says") {
  auto state = [](const char* status, const char* started, const char* finished) {
    FakeDaemon daemon([&](auto&) {
      return json_answer(nlohmann::json{{"Id", "quick"}, {"State", {{"Status", status}, {"StartedAt", started}, {"FinishedAt", finished}}}}.dump());
    });
    return Engine(daemon.endpoint()).inspect_container("quick").state;
  };
  // as an Engine 20.10 answered
  CHECK(state("exited", "2026-11-23T11:27:19.013686081Z", "2026-11-23T11:27:19.01356017Z").finished_at == "2026-11-23T11:27:19.013686081Z");
  CHECK(state("exited", "2026-11-23T11:27:19.01Z", "2026-11-23T11:27:19.2Z").finished_at == "2026-11-23T11:27:19.2Z");
  CHECK(state("running", "2026-11-23T11:27:19Z", "2026-11-22T10:00:00Z").finished_at == "2026-11-22T10:00:00Z");  // of the run before
}
