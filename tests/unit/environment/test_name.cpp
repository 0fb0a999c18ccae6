#include <doctest/doctest.h>

#include "base/error.hpp"
#include "environment/name.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

std::string refusal(std::string_view name) {
  try {
    EnvironmentName::parse(name);
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "accepted";
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

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
  CHECK(refusal("MyEnv") == "environment names are lower case: 'MyEnv' is not allowed. Use 'myenv'.");
}

TEST_CASE("every wrong name says what is wrong with it") {
  CHECK(has(refusal(""), "empty"));
  CHECK(has(refusal("-rf"), "cannot start with '-'"));
  CHECK(has(refusal("--help"), "cannot start with '-'"));
  CHECK(has(refusal("../x"), "cannot contain '/'"));
  CHECK(has(refusal("a/b"), "cannot contain '/'"));
  CHECK(has(refusal(".."), "cannot start with '.'"));
  CHECK(has(refusal(".hidden"), "cannot start with '.'"));
  CHECK(has(refusal("my env"), "spaces"));
  CHECK(has(refusal("env\n"), "line break"));
  CHECK(has(refusal("env\x1b[31m"), "control characters"));
  CHECK(has(refusal("\xf0\x9f\x90\xb3"), "plain ASCII"));
  CHECK(has(refusal("a:b"), "cannot contain ':'"));
  CHECK(has(refusal(std::string(300, 'a')), "300 characters"));
  CHECK(has(refusal("env-"), "cannot end with '-'"));
  CHECK(has(refusal("env."), "cannot end with '.'"));
}

TEST_CASE("Docker's grammar for repository names is obeyed") {
  for (const char* name : {"a..b", "a___b", "a.-b", "a_.b", "a-_b"}) {
    CAPTURE(name);
    CHECK_FALSE(EnvironmentName::is_valid(name));
    CHECK(has(refusal(name), "Docker repository name"));
  }
}

TEST_CASE("refusals show no raw bytes from outside") {
  for (const char* name : {"a\x1b]0;title\x07", "a\nb", "\xff\xfe"}) {
    for (const char c : refusal(name)) CHECK(static_cast<unsigned char>(c) >= 0x20);
  }
}
