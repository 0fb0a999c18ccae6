#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/mount_rule.hpp"

using namespace riverbox;

TEST_CASE("a path in its normal form") {
  CHECK(normal_path("/a//b/./c/../d/") == "/a/b/d");
  CHECK(normal_path("/../../etc") == "/etc");
  CHECK(normal_path("/") == "/");
  CHECK(normal_path("/...") == "/...");
}

TEST_CASE("a rule covers its folder and what is in it, and nothing that is only called alike") {
  const auto rule = MountRule::parse("/data/");
  CHECK(rule.str() == "/data");
  CHECK(rule.covers("/data"));
  CHECK(rule.covers("/data/a/b"));
  CHECK_FALSE(rule.covers("/database"));
  CHECK_FALSE(rule.covers("/"));
  CHECK(MountRule::parse("/").covers("/etc"));
}

TEST_CASE("what is to be read only cannot be written") {
  const std::vector<MountRule> rules{MountRule::parse("/data:ro"), MountRule::parse("/data/mine:rw")};
  CHECK(is_allowed(rules, "/data/x", true));
  CHECK_FALSE(is_allowed(rules, "/data/x", false));
  CHECK(is_allowed(rules, "/data/mine/x", false));
  CHECK_FALSE(is_allowed({}, "/data", true));
}

TEST_CASE("what is no rule is refused") {
  for (const std::string text : {"", "data", ":ro", "/a:/b", "/a:", "/a:ro:rw:x", "/a:rw:rw", "/a:ro:rw", "ro"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(MountRule::parse(text), InvalidInput);
  }
  CHECK_THROWS_AS(MountRule::parse(std::string("/a\0b", 4)), InvalidInput);
}
