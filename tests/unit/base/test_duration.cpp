#include <doctest/doctest.h>

#include "base/duration.hpp"
#include "base/error.hpp"

using namespace riverbox;
using namespace std::chrono_literals;

TEST_CASE("lengths of time as people write them") {
  CHECK(parse_duration("90s") == 90s);
  CHECK(parse_duration(" 30m ") == 30min);
  CHECK(parse_duration("2h") == 2h);
  CHECK(parse_duration("1d12h") == 36h);
  CHECK(parse_duration("1h30m5s") == 5405s);
  CHECK(parse_duration("12:30:00") == 12h + 30min);
  CHECK(parse_duration("2-12:00:01") == 60h + 1s);
  CHECK(parse_duration("100:00:00") == 100h);
}

TEST_CASE("what is no length of time is refused") {
  for (const char* text : {"", "0s", "10", "-5m", "h", "1.5h", "2m1h", "1h1h", "1x", "1 h", "12:30", "1:60:00", "1-2", "1-1:2:3:4", "::", "99999999999s", "1h ago", "00:00:00"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_duration(text), InvalidInput);
  }
}

TEST_CASE("lengths of time for people") {
  CHECK(human_duration(0s) == "0 s");
  CHECK(human_duration(45s) == "45 s");
  CHECK(human_duration(2h) == "2 h");
  CHECK(human_duration(36h + 61s) == "1 d 12 h 1 min 1 s");
}
