#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/supervised.hpp"
#include "os/supervisor.hpp"

using namespace riverbox;
using namespace riverbox::os;

namespace {

using Phase = SupervisedState::Phase;
using Request = Supervised::Request;

struct OneCommand {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("riverbox-supervised-" + random_hex(6));
  Supervised process{folder};

  explicit OneCommand(std::vector<std::string> argv, std::string working_dir = "/", std::string group = {}) {
    SupervisedCommand command;
    command.argv = std::move(argv);
    command.env = {{"COLOUR", "blue green"}};
    command.working_dir = std::move(working_dir);
    command.group = group.empty() ? folder.filename().string() : group;
    Supervised::prepare(folder, command);
  }
  ~OneCommand() { process.remove(); }

  // What the internal applet does.
  void supervise() const {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(os::supervise({.folder = folder, .delegated = false}));
    ::waitpid(pid, nullptr, 0);
  }
  template <class Condition>
  bool within(Condition condition) const {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  SupervisedState ended() const {
    CHECK(within([&] { return process.state().phase == Phase::ended; }));
    return process.state();
  }
};

}  // namespace

TEST_CASE("a command is run, and how it ended is found afterwards") {
  OneCommand one({"/bin/sh", "-c", "echo \"$COLOUR\"; pwd; echo trouble >/dev/stderr; exit 7"}, "/usr");
  CHECK(one.process.state().phase == Phase::prepared);
  CHECK_FALSE(one.process.ask(Request::kill));  // nobody is there
  one.supervise();
  const auto state = one.ended();
  CHECK(state.exit_code == 7);
  CHECK(state.error == "");
  CHECK(state.started_at < state.finished_at);
  CHECK_FALSE(state.machine_restarted);
  CHECK(one.process.read_output(false, 0) == "blue green\n/usr\n");
  CHECK(one.process.read_output(false, 11) == "/usr\n");
  CHECK(one.process.read_output(true, 0) == "trouble\n");

  one.supervise();  // once more, as after a crash at the wrong moment
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(one.process.read_output(false, 0) == "blue green\n/usr\n");
}

TEST_CASE("what cannot be run says why") {
  OneCommand missing({"/no/such/program"});
  missing.supervise();
  CHECK(missing.ended().exit_code == 127);
  CHECK(missing.ended().error.find("/no/such/program") != std::string::npos);
  OneCommand nowhere({"/bin/true"}, "/no/such/folder");
  nowhere.supervise();
  CHECK(nowhere.ended().exit_code == 126);
  CHECK(nowhere.ended().error.find("/no/such/folder") != std::string::npos);
}

// fault: task-unruly
TEST_CASE("everything that a command has started ends with it, daemons too") {
  OneCommand one({"/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 0.05; done' & sleep 0.3"});
  one.supervise();
  REQUIRE(one.within([&] { return !one.process.read_output(false, 0).empty(); }));
  const auto daemon = static_cast<pid_t>(*parse_u64(trim(one.process.read_output(false, 0))));
  CHECK(::kill(daemon, 0) == 0);
  CHECK(one.ended().exit_code == 0);
  CHECK(::kill(daemon, 0) != 0);
}

TEST_CASE("a command is paused, goes on, and is ended") {
  OneCommand one({"/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"});
  one.supervise();
  REQUIRE(one.within([&] { return !one.process.read_output(false, 0).empty(); }));
  CHECK(one.process.ask(Request::pause));
  REQUIRE(one.within([&] { return one.process.state().paused; }));
  const auto stopped = one.process.read_output(false, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  CHECK(one.process.read_output(false, 0).size() <= stopped.size() + 8);  // a line may have been in the pipe
  CHECK(one.process.ask(Request::resume));
  REQUIRE(one.within([&] { return !one.process.state().paused; }));
  CHECK(one.within([&] { return one.process.read_output(false, 0).size() > stopped.size() + 8; }));
  CHECK(one.process.ask(Request::pause));
  CHECK(one.process.ask(Request::kill));
  CHECK(one.ended().exit_code == 128 + SIGKILL);
}

TEST_CASE("where no control group can be made, it is paused and ended as well") {
  OneCommand one({"/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do echo x; sleep 0.02; done' & sleep 60"}, "/", "no/such/parent");
  one.supervise();
  REQUIRE(one.within([&] { return !one.process.read_output(false, 0).empty(); }));
  REQUIRE_FALSE(one.process.state().notes.empty());
  CHECK(one.process.state().notes[0] == "No control group could be made.");
  const auto daemon = static_cast<pid_t>(*parse_u64(split(one.process.read_output(false, 0), '\n')[0]));
  CHECK(one.process.ask(Request::pause));
  REQUIRE(one.within([&] { return one.process.state().paused; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto before = one.process.read_output(false, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(one.process.read_output(false, 0) == before);
  CHECK(one.process.ask(Request::resume));
  CHECK(one.within([&] { return one.process.read_output(false, 0).size() > before.size(); }));
  CHECK(one.process.signal(SIGTERM));  // the daemon does not listen, and ends with its parent
  CHECK(one.ended().exit_code == 128 + SIGTERM);
  CHECK(::kill(daemon, 0) != 0);
}

TEST_CASE("a command gets the signal that is meant for it") {
  OneCommand one({"/bin/bash", "-c", "trap 'echo int; exit 4' INT; trap 'echo real time' RTMIN+3; echo ready; while :; do sleep 0.02; done"});
  one.supervise();
  const auto says = [&](const char* word) { return one.within([&] { return one.process.read_output(false, 0).find(word) != std::string::npos; }); };
  REQUIRE(says("ready"));
  CHECK(one.process.signal(SIGRTMIN + 3));
  CHECK(says("real time"));
  CHECK(one.process.signal(SIGINT));
  CHECK(one.ended().exit_code == 4);
}

TEST_CASE("a supervisor that was killed is missed, and takes its command along") {
  OneCommand one({"/bin/sh", "-c", "echo $$ $PPID; sleep 60"});
  one.supervise();
  REQUIRE(one.within([&] { return !one.process.read_output(false, 0).empty(); }));
  const auto pids = split(std::string(trim(one.process.read_output(false, 0))), ' ');
  ::kill(static_cast<pid_t>(*parse_u64(pids[1])), SIGKILL);
  CHECK(one.within([&] { return one.process.state().phase == Phase::gone; }));
  CHECK(one.within([&] { return ::kill(static_cast<pid_t>(*parse_u64(pids[0])), 0) != 0; }));
  CHECK_FALSE(one.process.state().machine_restarted);
}

// fault: place-taken
TEST_CASE("after a restart of the machine nothing is taken for the command") {
  OneCommand one({"/bin/true"});
  write_atomically(one.folder / "started.json", R"({"started_at":"2026-01-01T00:00:00Z","boot_id":"another","notes":[],"groups":[]})");
  CHECK(one.process.state().phase == Phase::gone);
  CHECK(one.process.state().machine_restarted);
}

TEST_CASE("a damaged description is told, and a folder that is gone is not found") {
  CHECK_THROWS_AS(nlohmann::json::parse(R"({"argv":[]})").get<SupervisedCommand>(), BadData);
  CHECK_THROWS_AS(nlohmann::json::parse(R"({"argv":"x"})").get<SupervisedCommand>(), BadData);
  CHECK_THROWS_AS(Supervised("/no/such/folder").state(), NotFound);
}

TEST_CASE("lists of processors are written as the kernel does") {
  CHECK(cpu_list({}) == "");
  CHECK(cpu_list({3}) == "3");
  CHECK(cpu_list({5, 0, 1, 2, 7, 8}) == "0-2,5,7-8");
}
