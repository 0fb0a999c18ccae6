#include <doctest/doctest.h>

#include "base/error.hpp"
#include "terminal/client.hpp"
#include "terminal/detach_keys.hpp"

using namespace riverbox;
using namespace riverbox::terminal;

TEST_CASE("detach keys: docker's syntax") {
  CHECK(parse_detach_keys("ctrl-p,ctrl-q") == "\x10\x11");
  CHECK(parse_detach_keys("CTRL-A,d") == "\x01" "d");
  CHECK(parse_detach_keys("ctrl-@") == std::string(1, '\0'));
  CHECK(parse_detach_keys("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_") == "\x1b\x1c\x1d\x1e\x1f");
  CHECK(parse_detach_keys("") == "");
  for (const char* bad : {"ctrl-", "ctrl-1", "ctrl-pp", "escape", "ctrl-p,", ",", "ctrl+p", "\xc3\xa9", "\x80"})
    CHECK_THROWS_AS(parse_detach_keys(bad), UsageError);
}

namespace {

struct Typed {
  std::string forwarded;
  bool detached;
};

Typed type(DetachMatcher& matcher, std::string_view bytes) {
  Typed result;
  result.detached = matcher.feed(bytes, result.forwarded);
  return result;
}

}  // namespace

TEST_CASE("detach keys: found however the reads fall") {
  for (size_t cut = 0; cut <= 6; ++cut) {
    DetachMatcher matcher("\x10\x11");
    std::string bytes = "ls\n\x10\x11zz", seen;
    bool detached = matcher.feed(bytes.substr(0, cut), seen);
    detached = detached || matcher.feed(bytes.substr(cut), seen);
    CHECK(detached);
    CHECK(seen == "ls\n");
  }
}

TEST_CASE("detach keys: what only looks like them reaches the shell, in order") {
  DetachMatcher matcher("\x10\x11");
  CHECK(type(matcher, "\x10").forwarded == "");
  CHECK(matcher.pending());
  CHECK(type(matcher, "a").forwarded == "\x10" "a");
  CHECK_FALSE(matcher.pending());
  CHECK(type(matcher, "\x11\x10\x10").forwarded == "\x11\x10");
  CHECK(type(matcher, "\x11").detached);

  CHECK_FALSE(type(matcher, "\x10").detached);
  CHECK(matcher.give_up() == "\x10");
  CHECK(matcher.give_up() == "");
  CHECK(type(matcher, "\x11").forwarded == "\x11");

  DetachMatcher repeating("aab");
  CHECK(type(repeating, "aaa").forwarded == "a");
  CHECK(type(repeating, "b").detached);

  DetachMatcher none("");
  CHECK(type(none, "\x10\x11").forwarded == "\x10\x11");
}
