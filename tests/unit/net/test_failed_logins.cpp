#include <doctest/doctest.h>

#include <string>

#include "net/failed_logins.hpp"

using namespace riverbox;
using net::FailedLogins;
using Verdict = net::FailedLogins::Verdict;

TEST_CASE("different wrong tokens are counted by address, for a minute") {
  std::chrono::steady_clock::time_point now{};
  FailedLogins logins({.steady = [&] { return now; }});
  const auto guess = [&](const std::string& from, size_t n) { return logins.failed(from, "guess " + std::to_string(n)); };
  for (int again = 0; again < 100; ++again) CHECK(guess("10.0.0.1:4000", 0) == Verdict::bearable);
  for (size_t n = 0; n < FailedLogins::kMost; ++n) CHECK(guess("10.0.0.1:" + std::to_string(40000 + n), n) == Verdict::bearable);
  CHECK(guess("10.0.0.1:1", 1000) == Verdict::first_too_many);
  CHECK(guess("10.0.0.1:2", 1001) == Verdict::too_many);
  CHECK(guess("10.0.0.1:2", 0) == Verdict::too_many);
  CHECK(guess("10.0.0.2:2", 0) == Verdict::bearable);
  CHECK(guess("[::1]:2", 0) == Verdict::bearable);
  now += FailedLogins::kWithin;
  CHECK(guess("10.0.0.1:3", 2) == Verdict::bearable);
}

TEST_CASE("however many addresses there are, they take bounded room") {
  FailedLogins logins;
  for (int i = 0; i < 20000; ++i) CHECK(logins.failed("10." + std::to_string(i / 250) + ".0." + std::to_string(i % 250) + ":1", "x") == Verdict::bearable);
}
