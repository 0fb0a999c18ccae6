#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/json.hpp"
#include "base/log.hpp"

using namespace riverbox;

namespace {

// What `work` writes to stderr, which is a pipe meanwhile.
template <typename Work>
std::string stderr_of(Work work) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  work();
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(ends[1]);
  std::string text(65536, '\0');
  const ssize_t n = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

}  // namespace

TEST_CASE("log lines are one JSON object each, whatever the values are") {
  if (::isatty(STDERR_FILENO)) return;  // then lines are text, decided once per process
  const std::string out = stderr_of([] {
    log::info("host", "say \"hello\"\nworld", {{"name", "\x1b[31m"}, {"bytes", "a\xff" "b"}, {"path", "C:\\x"}});
    log::debug("host", "not shown by default");
    log::error("host", "second");
  });
  const size_t end = out.find('\n');
  REQUIRE(end != std::string::npos);
  const auto first = nlohmann::json::parse(out.substr(0, end));
  CHECK(first["level"] == "info");
  CHECK(first["component"] == "host");
  CHECK(first["message"] == "say \"hello\"\nworld");
  CHECK(first["name"] == "\x1b[31m");
  CHECK(first["bytes"] == "a\xEF\xBF\xBD" "b");
  CHECK(first["path"] == "C:\\x");
  CHECK(out.find('\x1b') == std::string::npos);
  CHECK(nlohmann::json::parse(out.substr(end + 1))["message"] == "second");
}

TEST_CASE("set_level decides what is written") {
  log::set_level(log::Level::error);
  CHECK(stderr_of([] { log::warning("x", "y"); }).empty());
  log::set_level(log::Level::debug);
  CHECK_FALSE(stderr_of([] { log::debug("x", "y"); }).empty());
  log::set_level(log::Level::info);
}

TEST_CASE("lines tell what the thread is busy with, the innermost first, nothing twice, and nothing when it is over") {
  if (::isatty(STDERR_FILENO)) return;
  const auto fields = [](auto work) {
    auto line = nlohmann::ordered_json::parse(stderr_of(work));
    for (const char* own : {"time", "level", "component", "message"}) line.erase(own);
    return line.dump();
  };
  const log::Scope request("request", "r1");
  CHECK(fields([] { log::info("x", "y"); }) == R"({"request":"r1"})");
  log::Context context;
  {
    const log::Scope environment("environment", "torch"), task("task", "7");
    CHECK(fields([] { log::info("x", "y", {{"bytes", "5"}, {"task", "8"}}); }) == R"({"bytes":"5","task":"8","environment":"torch","request":"r1"})");
    const log::Scope inner("environment", "jax");
    CHECK(fields([] { log::info("x", "y"); }) == R"({"environment":"jax","task":"7","request":"r1"})");
    context = log::context();
  }
  CHECK(fields([] { log::info("x", "y"); }) == R"({"request":"r1"})");
  std::string other, given;
  std::thread([&] {
    other = fields([] { log::info("x", "y"); });
    const log::Scope scope(context);
    given = fields([] { log::info("x", "y"); });
  }).join();
  CHECK(other == "{}");
  CHECK(given == R"({"environment":"jax","task":"7","request":"r1"})");
}
