#include <doctest/doctest.h>

#include "../mentions.hpp"
#include "base/error.hpp"
#include "environment/name.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

std::string name_refusal(std::string_view name) {
  try {
    EnvironmentName::parse(name);
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("ordinary names are accepted") {
  for (const char* name : {"a", "0", "py311", "py3.11", "my-env", "my_env", "my__env", "a--b", "con-123", "x-1700000000", "a.b-c_d"}) {
    CAPTURE(name);
    CHECK(EnvironmentName::is_valid(name));
    CHECK(EnvironmentName::parse(name).str() == name);
  }
  CHECK(EnvironmentName::parse(std::string(128, 'a')).str().size() == 128);
}

TEST_CASE("upper case is answered with the lower-case name") {
  CHECK(name_refusal("MyEnv") == "environment names are lower case: 'MyEnv' is not allowed. Use 'myenv'.");
}

// fault: names-odd
TEST_CASE("every wrong name says what is wrong with it") {
  CHECK(mentions(name_refusal(""), "empty"));
  CHECK(mentions(name_refusal("-rf"), "cannot start with '-'"));
  CHECK(mentions(name_refusal("--help"), "cannot start with '-'"));
  CHECK(mentions(name_refusal("../x"), "cannot contain '/'"));
  CHECK(mentions(name_refusal("a/b"), "cannot contain '/'"));
  CHECK(mentions(name_refusal(".."), "cannot start with '.'"));
  CHECK(mentions(name_refusal(".hidden"), "cannot start with '.'"));
  CHECK(mentions(name_refusal("my env"), "spaces"));
  CHECK(mentions(name_refusal("env\n"), "line break"));
  CHECK(mentions(name_refusal("env\x1b[31m"), "control characters"));
  CHECK(mentions(name_refusal("\xf0\x9f\x90\xb3"), "plain ASCII"));
  CHECK(mentions(name_refusal("a:b"), "cannot contain ':'"));
  CHECK(mentions(name_refusal(std::string(300, 'a')), "300 characters"));
  CHECK(mentions(name_refusal("env-"), "cannot end with '-'"));
  CHECK(mentions(name_refusal("env."), "cannot end with '.'"));
}

TEST_CASE("Docker's grammar for repository names is obeyed") {
  for (const char* name : {"a..b", "a___b", "a.-b", "a_.b", "a-_b"}) {
    CAPTURE(name);
    CHECK_FALSE(EnvironmentName::is_valid(name));
    CHECK(mentions(name_refusal(name), "Docker repository name"));
  }
}

// fault: escape-sequences
TEST_CASE("refusals show no raw bytes from outside") {
  for (const char* name : {"a\x1b]0;title\x07", "a\nb", "\xff\xfe"}) {
    for (const char c : name_refusal(name)) CHECK(static_cast<unsigned char>(c) >= 0x20);
  }
}
