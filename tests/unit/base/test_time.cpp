#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/time.hpp"

using namespace riverbox;
using namespace std::chrono_literals;

TEST_CASE("RFC 3339 with every fraction and offset that Docker writes") {
  const WallTime time = parse_rfc3339("2026-11-21T23:10:12.372627458Z");
  CHECK(unix_seconds(time) == 1795302612);
  CHECK(to_rfc3339(time) == "2026-11-21T23:10:12.372627458Z");
  CHECK(parse_rfc3339("2026-11-22T01:10:12.372627458+02:00") == time);
  CHECK(parse_rfc3339("2026-11-21T17:40:12.372627458-05:30") == time);
  CHECK(to_rfc3339(parse_rfc3339("2026-11-21T23:10:12Z")) == "2026-11-21T23:10:12.000000000Z");
  CHECK(to_rfc3339(parse_rfc3339("2026-11-21t23:10:12.5z")) == "2026-11-21T23:10:12.500000000Z");
  CHECK(to_rfc3339(parse_rfc3339("2024-02-29T00:00:00.1234567899Z")) == "2024-02-29T00:00:00.123456789Z");
  CHECK(to_rfc3339(parse_rfc3339("1969-12-31T23:59:59.5Z")) == "1969-12-31T23:59:59.500000000Z");
  CHECK(unix_seconds(parse_rfc3339("1969-12-31T23:59:59.5Z")) == -1);
}

TEST_CASE("Docker's zero time survives the way in and out") {
  CHECK(to_rfc3339(parse_rfc3339("0001-01-01T00:00:00Z")) == "0001-01-01T00:00:00Z");
  CHECK(ago(parse_rfc3339("0001-01-01T00:00:00Z"), wall_now()) == "never");
}

TEST_CASE("damaged times are refused") {
  for (const char* text : {"", "yesterday", "2026-11-21", "2026-11-21T23:10:12", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z",
                           "2026-11-21T24:00:00Z", "2026-11-21T23:60:00Z", "2026-11-21T23:10:12.Z", "2026-11-21T23:10:12Zx",
                           "2026-11-21T23:10:12+0200", "-026-11-21T23:10:12Z", "2026-11-21T23:10:12+99:00"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_rfc3339(text), BadData);
  }
}

TEST_CASE("local time has the form of HakuRiver's JSON") {
  const std::string text = to_local_iso(parse_rfc3339("2026-11-21T23:10:12.000402Z"));
  CHECK(text.size() == 26);
  CHECK(text.substr(13) == ":10:12.000402");
  CHECK(text[10] == 'T');
}

TEST_CASE("a clock that is changed in spring and autumn is told with the second of the change") {
  const char* before = std::getenv("TZ");
  const std::string kept = before ? before : "";
  ::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  ::tzset();
  const auto offsets = utc_offsets(parse_rfc3339("2026-01-01T00:00:00Z"), parse_rfc3339("2026-12-31T00:00:00Z"));
  before ? ::setenv("TZ", kept.c_str(), 1) : ::unsetenv("TZ");
  ::tzset();
  REQUIRE(offsets.size() == 3);
  CHECK(offsets[0].seconds == 3600);
  CHECK(offsets[1].seconds == 7200);
  CHECK(offsets[1].since == unix_seconds(parse_rfc3339("2026-03-29T01:00:00Z")));
  CHECK(offsets[2].seconds == 3600);
  CHECK(offsets[2].since == unix_seconds(parse_rfc3339("2026-10-25T01:00:00Z")));
}

TEST_CASE("local time comes back from the forms that Python writes") {
  const WallTime time = parse_rfc3339("2026-11-21T23:10:12.000402Z");
  std::string text = to_local_iso(time);
  CHECK(parse_local(text) == time);
  text[10] = ' ';
  CHECK(parse_local(text) == time);
  CHECK(parse_local(text.substr(0, 19)) == parse_rfc3339("2026-11-21T23:10:12Z"));
  CHECK(parse_local("2026-11-21 23:10:12.5+00:00") == parse_rfc3339("2026-11-21T23:10:12.5Z"));
  for (const char* bad : {"", "soon", "2026-11-21", "2026-02-30 00:00:00", "2026-11-21 23:10:12 PM"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_local(bad), BadData);
  }
}

TEST_CASE("ago speaks like a person") {
  const WallTime now = parse_rfc3339("2026-11-21T23:10:12Z");
  CHECK(ago(now, now) == "just now");
  CHECK(ago(now + 5s, now) == "just now");
  CHECK(ago(now - 1s, now) == "1 second ago");
  CHECK(ago(now - 59s, now) == "59 seconds ago");
  CHECK(ago(now - 3min, now) == "3 minutes ago");
  CHECK(ago(now - 1h, now) == "1 hour ago");
  CHECK(ago(now - 36h, now) == "36 hours ago");
  CHECK(ago(now - 24h * 20, now) == "2 weeks ago");
  CHECK(ago(now - 24h * 400, now) == "13 months ago");
  CHECK(ago(now + 2h, now) == "in 2 hours");
}
