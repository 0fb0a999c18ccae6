// The Engine client against a real Docker Engine ($DOCKER_HOST or the default socket) with the image busybox:latest.
// Everything made here is named riverbox-engine-test-* and removed. Exit code 77 (skipped) when no engine answers.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/json.hpp"
#include "docker/shell.hpp"

using namespace riverbox;
using namespace riverbox::docker;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr const char* kImage = "busybox:latest";
const char* const kSleeper = "trap 'exit 0' TERM; while :; do sleep 1; done";

Engine& engine() {
  static Engine engine(Endpoint::from_environment());
  return engine;
}

std::string unique(const char* what) {
  static int count = 0;
  return "riverbox-engine-test-" + std::to_string(::getpid()) + "-" + what + std::to_string(++count);
}

// A container that is gone afterwards, whatever happens.
struct TestContainer {
  std::string name = unique("c"), id;
  explicit TestContainer(std::vector<std::string> command = {"sh", "-c", kSleeper}, const std::string& image = kImage) {
    ContainerSpec spec;
    spec.image = engine().inspect_image(image).id;
    spec.command = std::move(command);
    spec.network = "none";
    spec.labels = {{"riverbox-engine-test", "true"}};
    id = engine().create_container(name, spec);
  }
  ~TestContainer() {
    try {
      engine().remove_container(name, true);
    } catch (const Error&) {
    }
  }
  TestContainer& started() {
    engine().start_container(name);
    return *this;
  }
};

struct TestImage {
  std::string reference;
  ~TestImage() {
    try {
      engine().untag_image(reference);
    } catch (const Error&) {
    }
  }
};

// Reads until `wanted` was seen; what was read so far when it does not come within 5 s.
std::string read_until(Stream& stream, const std::string& wanted, milliseconds limit = seconds(5)) {
  std::string all;
  char buffer[4096];
  for (auto end = Clock::now() + limit; Clock::now() < end;) {
    auto got = stream.read_some(buffer, sizeof buffer);
    if (got && *got == 0) return all;
    if (got) all.append(buffer, *got);
    if (!wanted.empty() && all.find(wanted) != all.npos) return all;
    pollfd waited{stream.wait_fd(), POLLIN, 0};
    if (!got) ::poll(&waited, 1, 100);
  }
  return all + "<timeout>";
}

void type(Stream& stream, const std::string& text) { REQUIRE(stream.write_some(text.data(), text.size()) == text.size()); }

// How many processes in the container have `word` in their command line.
int processes(const std::string& container, const std::string& word) {
  auto list = engine().run_exec(container, {"sh", "-c", "for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline; echo; done 2>/dev/null"}, seconds(10));
  int count = 0;
  for (size_t at = 0; (at = list.stdout_text.find(word, at)) != std::string::npos; at += word.size()) ++count;
  return count;
}

bool has_image(const char* reference) { return engine().find_image(reference).has_value(); }

}  // namespace

TEST_CASE("the daemon introduces itself") {
  engine().ping();
  auto version = engine().version();
  CHECK_FALSE(version.engine.empty());
  CHECK(version.api_at_least(1, 40));
  engine().containerd_store();
  engine().has_gpu_runtime();
}

TEST_CASE("the life of a container; start and stop may be said twice") {
  TestContainer container;
  ContainerSpec again;
  again.image = kImage;
  try {
    engine().create_container(container.name, again);
    FAIL("the name was given twice");
  } catch (const ContainerCreationError& error) {
    CHECK(error.kind() == ErrorKind::conflict);
  }
  container.started();
  engine().start_container(container.name);
  auto seen = engine().inspect_container(container.name);
  CHECK(seen.id == container.id);
  CHECK(seen.name == container.name);
  CHECK(seen.state.running);
  engine().pause_container(container.name);
  CHECK(engine().inspect_container(container.name).state.paused);
  engine().unpause_container(container.name);
  auto list = engine().list_containers("riverbox-engine-test=true");
  CHECK(std::any_of(list.begin(), list.end(), [&](auto& c) { return c.id == container.id && c.name == container.name && c.state == "running"; }));
  engine().stop_container(container.name, seconds(3));
  engine().stop_container(container.name, seconds(3));
  CHECK(engine().inspect_container(container.name).state.status == "exited");
  engine().remove_container(container.name, false);
  CHECK_THROWS_AS(engine().remove_container(container.name, false), ContainerNotFoundError);
  CHECK_THROWS_AS(engine().inspect_container(container.name), ContainerNotFoundError);
}

TEST_CASE("what is missing is named") {
  ContainerSpec spec;
  spec.image = "riverbox-engine-test/no-such-image:x";
  CHECK_THROWS_WITH_AS(engine().create_container(unique("c"), spec), doctest::Contains("no-such-image"), ImageNotFoundError);
  spec.image = kImage;
  spec.mounts = {{"/no/such/folder", "/x", false}};
  CHECK_THROWS_WITH_AS(engine().create_container(unique("c"), spec), doctest::Contains("/no/such/folder"), ContainerCreationError);
  CHECK_FALSE(engine().find_image("riverbox-engine-test/none"));
  CancelToken token;
  CHECK_THROWS_AS(engine().pull_image("127.0.0.1:1/riverbox/none", {}, token), DockerError);
  CHECK_THROWS_AS(engine().save_image("riverbox-engine-test/none", [](std::string_view) {}, token), ImageNotFoundError);
  CHECK_THROWS_AS(engine().follow_logs("riverbox-engine-test-none", token, [](bool, std::string_view) {}), ContainerNotFoundError);
}

TEST_CASE("wait gives the exit code, also afterwards, and can be cancelled") {
  TestContainer container({"sh", "-c", "sleep 0.5; exit 7"});
  container.started();
  CHECK(engine().wait_container(container.name, {}).exit_code == 7);
  CHECK(engine().wait_container(container.name, {}).exit_code == 7);
  TestContainer endless;
  endless.started();
  CancelToken token;
  std::thread canceller([&] { std::this_thread::sleep_for(milliseconds(300)); token.cancel(); });
  auto start = Clock::now();
  CHECK_THROWS_AS(engine().wait_container(endless.name, token), Cancelled);
  canceller.join();
  CHECK(Clock::now() - start < seconds(1));
}

TEST_CASE("logs are followed to the end with both streams apart") {
  TestContainer container({"sh", "-c", "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.2; done"});
  container.started();
  std::string out, err;
  engine().follow_logs(container.name, {}, [&](bool is_stderr, std::string_view bytes) { (is_stderr ? err : out) += bytes; });
  CHECK(out == "out1\nout2\nout3\n");
  CHECK(err == "err1\nerr2\nerr3\n");
  std::string again;
  engine().follow_logs(container.name, {}, [&](bool, std::string_view bytes) { again += bytes; }, false);
  CHECK(again.size() == out.size() + err.size());
  TestContainer endless;
  endless.started();
  CancelToken token;
  token.set_deadline(Clock::now() + milliseconds(400));
  CHECK_THROWS_AS(engine().follow_logs(endless.name, token, [](bool, std::string_view) {}), Timeout);
}

TEST_CASE("commit, save, remove, load: the image comes back as it was") {
  TestImage image{"riverbox-engine-test/" + std::to_string(::getpid()) + ":one"};
  CancelToken token;
  std::string id;
  {
    TestContainer container({"sh", "-c", "head -c 3000000 /dev/urandom >/data"});
    container.started();
    engine().wait_container(container.name, token);
    id = engine().commit(container.name, {"CMD [\"cat\", \"/data\"]", "ENV A=\"1 2\""}, {.comment = "a comment & more"}, token);
  }
  engine().tag_image(id, image.reference);
  auto made = engine().inspect_image(image.reference);
  CHECK(made.id == id);
  CHECK(made.command == std::vector<std::string>{"cat", "/data"});
  CHECK(made.diff_ids.size() == engine().inspect_image(kImage).diff_ids.size() + 1);
  CHECK(made.created != WallTime{});
  auto tagged = engine().list_images_tagged("riverbox-engine-test/*");
  CHECK(std::any_of(tagged.begin(), tagged.end(), [&](auto& i) { return i.id == id && !i.diff_ids.empty(); }));

  std::string archive;
  engine().save_image(image.reference, [&](std::string_view bytes) { archive += bytes; }, token);
  CHECK(archive.size() > 3000000);
  engine().untag_image(image.reference);
  CHECK_FALSE(engine().find_image(image.reference));

  size_t at = 0;
  auto source = [&](char* buffer, size_t size) {
    size_t n = std::min(size, archive.size() - at);
    std::copy_n(archive.data() + at, n, buffer);
    at += n;
    return n;
  };
  auto loaded = engine().load_image(archive.size(), source, token);
  CHECK(loaded.error.empty());
  CHECK(loaded.loaded == std::vector<std::string>{image.reference});
  auto back = engine().inspect_image(image.reference);
  CHECK(back.diff_ids == made.diff_ids);
  CHECK(back.created == made.created);

  // what is not an archive is an error with words, in whichever way the engine says it
  archive = std::string(100000, 'x');
  at = 0;
  std::string said;
  try {
    said = engine().load_image(archive.size(), source, token).error;
  } catch (const ImageImportError& error) {
    said = error.fact();
  }
  CHECK_FALSE(said.empty());
}

TEST_CASE("a command's outputs and exit code; one that does not end is given up") {
  TestContainer container;
  container.started();
  auto result = engine().run_exec(container.name, {"sh", "-c", "echo out; echo err >&2; exit 9"}, seconds(10));
  CHECK(result.exit_code == 9);
  CHECK(result.stdout_text == "out\n");
  CHECK(result.stderr_text == "err\n");
  CHECK(engine().run_exec(container.name, {"no-such-program"}, seconds(10)).exit_code != 0);
  CHECK_THROWS_AS(engine().run_exec(container.name, {"sleep", "3"}, seconds(1)), Timeout);
  engine().stop_container(container.name, seconds(1));
  CHECK_THROWS_AS(engine().run_exec(container.name, {"true"}, seconds(5)), ContainerExecutionError);
}

TEST_CASE("a raw exec carries input to its end") {
  TestContainer container;
  container.started();
  auto exec = engine().start_exec(container.name, {.command = {"cat"}});
  type(*exec.stream, "hello\n");
  exec.stream->shutdown_write();
  std::string out;
  Demux demux;
  demux.feed(read_until(*exec.stream, ""), [&](bool, std::string_view bytes) { out += bytes; });
  CHECK(out == "hello\n");
}

TEST_CASE("a shell has its size before its first byte, follows resizes and ends with its status") {
  TestContainer container;
  container.started();
  ShellExec::Options options;
  options.rows = 37;
  options.columns = 111;
  options.env = {{"TERM", "xterm"}, {"LC_ALL", "C"}};
  auto shell = ShellExec::open(engine(), container.name, options);
  CHECK(shell.pid() > 1);
  read_until(shell, "# ");
  type(shell, "stty size; echo $TERM-$LC_ALL-$((1+1))\n");
  auto answer = read_until(shell, "xterm-C-2");
  CHECK(answer.find("37 111") != std::string::npos);
  CHECK(answer.find("<timeout>") == std::string::npos);
  shell.resize(50, 60);
  type(shell, "stty size\n");
  CHECK(read_until(shell, "50 60").find("<timeout>") == std::string::npos);
  type(shell, "exit 5\n");
  read_until(shell, "");
  CHECK(shell.exit_status() == 5);
  shell.hang_up();  // nothing left: fine
}

TEST_CASE("the size is there from the first instruction of the command") {
  TestContainer container;
  container.started();
  for (int i = 0; i < 10; ++i) {
    ShellExec::Options options;
    options.rows = static_cast<std::uint16_t>(20 + i);
    options.columns = 99;
    options.command = {"stty", "size"};
    auto shell = ShellExec::open(engine(), container.name, options);
    CHECK(read_until(shell, "") == std::to_string(20 + i) + " 99\r\n");
    CHECK(shell.exit_status() == 0);
  }
}

TEST_CASE("a shell without a terminal keeps its outputs apart") {
  TestContainer container;
  container.started();
  ShellExec::Options options;
  options.tty = false;
  auto shell = ShellExec::open(engine(), container.name, options);
  type(shell, "echo out; echo err >&2; exit 3\n");
  shell.shutdown_write();
  std::string out, err;
  char buffer[100];
  bool is_stderr = false;
  for (auto end = Clock::now() + seconds(5); Clock::now() < end;) {
    auto got = shell.read_some(buffer, sizeof buffer, is_stderr);
    if (got && *got == 0) break;
    if (got) (is_stderr ? err : out).append(buffer, *got);
    else std::this_thread::sleep_for(milliseconds(5));
  }
  CHECK(out == "out\n");
  CHECK(err == "err\n");
  CHECK(shell.exit_status() == 3);
}

// fault: shell-dies
TEST_CASE("a shell that cannot be had says why") {
  CHECK_THROWS_AS(ShellExec::open(engine(), "riverbox-engine-test-none", {}), ContainerNotFoundError);
  TestContainer container;
  container.started();
  engine().stop_container(container.name, seconds(2));
  try {
    ShellExec::open(engine(), container.name, {});
    FAIL("no error");
  } catch (const DockerError& error) {
    CHECK(error.kind() == ErrorKind::conflict);
    CHECK(error.fact() == "Container '" + container.name + "' is not running (status: exited)");
  }
  TestImage image{"riverbox-engine-test/" + std::to_string(::getpid()) + ":noshell"};
  CancelToken token;
  {
    TestContainer maker({"sh", "-c", "mkdir /keep; cp /bin/busybox /keep/sh; cp /bin/busybox /keep/sleep; rm -rf /bin"});
    maker.started();
    engine().wait_container(maker.name, token);
    engine().tag_image(engine().commit(maker.name, {}, {}, token), image.reference);
  }
  TestContainer bare({"/keep/sh", "-c", "while :; do /keep/sleep 1; done"}, image.reference);
  bare.started();
  CHECK_THROWS_WITH_AS(ShellExec::open(engine(), bare.name, {}), doctest::Contains("No suitable shell found in container."), ContainerExecutionError);
}

void hang_up_ends_everything(const char* image, bool tty) {
  CAPTURE(image);
  CAPTURE(tty);
  TestContainer container({"sh", "-c", kSleeper}, image);
  container.started();
  ShellExec::Options options;
  options.tty = tty;
  auto shell = ShellExec::open(engine(), container.name, options);
  if (tty) read_until(shell, "# ");
  type(shell, "sleep 4001 & (sleep 4002; true) & sh -c 'trap \"\" TERM; sleep 4003; true' & nohup sleep 4004 >/dev/null 2>&1 &\n sleep 4005\n");
  for (auto end = Clock::now() + seconds(5); Clock::now() < end && processes(container.name, "sleep 4005") == 0;)
    std::this_thread::sleep_for(milliseconds(50));
  CHECK(processes(container.name, "sleep 400") >= 5);
  auto start = Clock::now();
  shell.hang_up();
  CHECK(Clock::now() - start < milliseconds(3000));
  for (const char* word : {"sleep 4001", "sleep 4002", "sleep 4003", "sleep 4005"}) CHECK(processes(container.name, word) == 0);
  CHECK(engine().inspect_container(container.name).state.running);
  CHECK(shell.exit_status() != -1);
  shell.hang_up();
}

TEST_CASE("hanging up ends the shell and what it started") {
  for (const char* image : {"busybox:latest", "debian:12"}) {
    if (!has_image(image)) {
      MESSAGE("not tried: no image " << image);
      continue;
    }
    for (bool tty : {true, false}) hang_up_ends_everything(image, tty);
  }
}

TEST_CASE("hanging up leaves other shells and the container alone") {
  TestContainer container;
  container.started();
  auto one = ShellExec::open(engine(), container.name, {});
  auto two = ShellExec::open(engine(), container.name, {});
  read_until(two, "# ");
  one.hang_up();
  type(two, "echo still-$((1+1))\n");
  CHECK(read_until(two, "still-2").find("<timeout>") == std::string::npos);
  two.hang_up();
  CHECK(engine().inspect_container(container.name).state.running);
}

int main(int argc, char** argv) {
  try {
    engine().ping();
  } catch (const Error& error) {
    std::fprintf(stderr, "SKIPPED: %s\n", error.what());
    return 77;
  }
  if (!has_image(kImage)) {
    std::fprintf(stderr, "SKIPPED: the engine at %s has no image %s\n", engine().endpoint().host.c_str(), kImage);
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
