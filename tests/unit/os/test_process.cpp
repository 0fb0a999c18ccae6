#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"
#include "os/sd_notify.hpp"

using namespace riverbox;
using namespace riverbox::os;
using namespace std::chrono_literals;

TEST_CASE("output, errors and exit codes of a program") {
  const ProcessResult result = run_process({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, 10s);
  CHECK(result.exit_code == 3);
  CHECK(result.stdout_text == "out\n");
  CHECK(result.stderr_text == "err\n");
  CHECK(run_process({"sh", "-c", "kill -9 $$"}, 10s).exit_code == 137);
  CHECK(run_process({"/nonexistent/program"}, 10s).exit_code == 127);
  CHECK(run_process({"printf", "%s", "a b'$x"}, 10s).stdout_text == "a b'$x");
  CHECK(run_process({"cat"}, 10s).stdout_text.empty());  // empty stdin
  CHECK_THROWS_AS(run_process({"/"}, 10s), IoError);
}

TEST_CASE("much output neither blocks nor fills the memory") {
  const ProcessResult result = run_process({"sh", "-c", "head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2"}, 20s);
  CHECK(result.exit_code == 0);
  CHECK(result.stdout_text.size() == 1 << 20);
  CHECK(result.stderr_text.size() == 1 << 20);
}

TEST_CASE("a program that hangs is killed with its children") {
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(run_process({"sh", "-c", "sleep 30 & sleep 30; echo"}, 200ms), Timeout);
  CHECK_THROWS_AS(run_process({"sh", "-c", "exec >&- 2>&-; sleep 30"}, 200ms), Timeout);
  CHECK(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("a daemon that keeps the output open does not keep us") {
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult result = run_process({"sh", "-c", "setsid sleep 8 & echo started"}, 30s);
  CHECK(result.stdout_text == "started\n");
  CHECK(std::chrono::steady_clock::now() - start < 6s);
}

TEST_CASE("children get the ordinary SIGPIPE although we ignore it") {
  init_runtime();
  CHECK(run_process({"sh", "-c", "kill -PIPE $$; echo survived"}, 10s).exit_code == 128 + SIGPIPE);
}

TEST_CASE("init_runtime is quick and host_name says something") {
  const std::clock_t start = std::clock();  // of the processor: the machine may be busy
  init_runtime();
  CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 0.005);
  raise_file_limit();
  CHECK_FALSE(host_name().empty());
}

TEST_CASE("sd_notify reaches a path and an abstract socket, and is silent without one") {
  ::unsetenv("NOTIFY_SOCKET");
  sd_notify("READY=1");
  const std::string path = std::filesystem::temp_directory_path() / ("riverbox-notify-" + random_hex(6));
  for (const std::string& name : {path, "@" + path}) {
    CAPTURE(name);
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())) == 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    sd_notify("STATUS=well");
    char buffer[64];
    const ssize_t n = ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    REQUIRE(n == 11);
    CHECK(std::string(buffer, 11) == "STATUS=well");
  }
  std::filesystem::remove(path);
  for (const std::string& bad : {std::string(), std::string("relative"), std::string("/"), "/" + std::string(300, 'x'), path}) {
    ::setenv("NOTIFY_SOCKET", bad.c_str(), 1);
    sd_notify("READY=1");  // must not fail
  }
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("the watchdog interval is for this process only") {
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  CHECK(watchdog_interval() == std::chrono::microseconds(15'000'000));
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK_FALSE(watchdog_interval());
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  CHECK(watchdog_interval());
  for (const char* bad : {"", "0", "-1", "soon"}) {
    ::setenv("WATCHDOG_USEC", bad, 1);
    CHECK_FALSE(watchdog_interval());
  }
  ::unsetenv("WATCHDOG_USEC");
  ::unsetenv("WATCHDOG_PID");
}
