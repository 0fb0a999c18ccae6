#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "os/inherited_socket.hpp"
#include "os/isolated.hpp"

using namespace riverbox;
using namespace riverbox::os;
using namespace std::chrono_literals;

TEST_CASE("what hangs, dies or throws keeps nobody from hearing the others") {
  const auto start = std::chrono::steady_clock::now();
  const std::string large(300'000, 'x');
  const auto answers = run_isolated({[] { return std::string("first"); },
                                     [] {
                                       std::this_thread::sleep_for(1h);
                                       return std::string("never");
                                     },
                                     []() -> std::string { throw std::runtime_error("no"); },
                                     []() -> std::string { ::_exit(0); },
                                     [&large] { return large; },
                                     [] { return std::string(); }},
                                    1500ms);
  REQUIRE(answers.size() == 6);
  CHECK(answers[0] == "first");
  CHECK_FALSE(answers[1].has_value());
  CHECK_FALSE(answers[2].has_value());
  CHECK_FALSE(answers[3].has_value());
  CHECK(answers[4] == large);
  CHECK(answers[5] == "");
  CHECK(std::chrono::steady_clock::now() - start < 60s);
  CHECK(run_isolated({}, 1s).empty());
}

TEST_CASE("what is printed there does not get out") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const int kept = ::dup(STDOUT_FILENO);
  ::dup2(ends[1], STDOUT_FILENO);
  run_isolated({[] { return std::string(::write(STDOUT_FILENO, "noise", 5) == 5 ? "written" : "not"); }}, 10s);
  ::dup2(kept, STDOUT_FILENO);
  ::close(kept);
  ::close(ends[1]);
  char buffer[8];
  CHECK(::read(ends[0], buffer, sizeof buffer) == 0);
  ::close(ends[0]);
}

TEST_CASE("sockets of others are not taken, and the variables do not reach children") {
  for (const char* pid : {"1", "", "x"}) {
    ::setenv("LISTEN_PID", pid, 1);
    ::setenv("LISTEN_FDS", "1", 1);
    CHECK_FALSE(inherited_socket().has_value());
    CHECK(std::getenv("LISTEN_FDS") == nullptr);
  }
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::setenv("LISTEN_FDS", "0", 1);
  CHECK_FALSE(inherited_socket().has_value());
  for (const char* number : {"2", "-1", "many"}) {
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", number, 1);
    CHECK_THROWS_AS(inherited_socket(), ConfigError);
  }
}
