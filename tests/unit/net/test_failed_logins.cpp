#include <doctest/doctest.h>

#include <string>

#include "net/failed_logins.hpp"

using namespace riverbox;
using net::FailedLogins;
using Verdict = net::FailedLogins::Verdict;

TEST_CASE("wrong tokens are counted by address, for a minute") {
  std::chrono::steady_clock::time_point now{};
  FailedLogins logins({.steady = [&] { return now; }});
  for (size_t i = 0; i < FailedLogins::kMost; ++i) CHECK(logins.failed("10.0.0.1:" + std::to_string(40000 + i)) == Verdict::bearable);
  CHECK(logins.failed("10.0.0.1:1") == Verdict::first_too_many);
  CHECK(logins.failed("10.0.0.1:2") == Verdict::too_many);
  CHECK(logins.failed("10.0.0.2:2") == Verdict::bearable);
  CHECK(logins.failed("[::1]:2") == Verdict::bearable);
  now += FailedLogins::kWithin;
  CHECK(logins.failed("10.0.0.1:3") == Verdict::bearable);
}

TEST_CASE("however many addresses there are, they take bounded room") {
  FailedLogins logins;
  for (int i = 0; i < 20000; ++i) CHECK(logins.failed("10." + std::to_string(i / 250) + ".0." + std::to_string(i % 250) + ":1") == Verdict::bearable);
}
