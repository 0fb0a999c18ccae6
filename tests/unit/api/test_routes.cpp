#include <doctest/doctest.h>

#include <regex>
#include <set>

#include "api/route.hpp"
#include "base/error.hpp"

using namespace riverbox;
using namespace riverbox::api;

TEST_CASE("every row is reached on its classic path and under /api") {
  std::set<std::string> seen;
  for (const auto& route : routes()) {
    CHECK(seen.insert(std::string(route.method) + " " + route.pattern).second);
    auto path = std::regex_replace(std::string(route.pattern), std::regex("\\{[a-z]+\\}"), "x");
    auto classic = match(route.method, path), api = match(route.method, "/api" + path);
    REQUIRE(classic.route);
    REQUIRE(api.route);
    CHECK((classic.route->handler == route.handler));
    CHECK(classic.dialect == Dialect::classic);
    CHECK(api.dialect == Dialect::api);
  }
}

TEST_CASE("parameters are decoded, and a slash in one does not reach another route") {
  auto m = match("POST", "/docker/host/start/my%2Denv");
  REQUIRE(m.route);
  CHECK(m.parameters.at("name") == "my-env");
  CHECK(match("POST", "/docker/host/start/a%2Fb").parameters.at("name") == "a/b");  // refused by the name's parser
  CHECK_FALSE(match("POST", "/docker/host/start/a/b").route);
  CHECK_FALSE(match("POST", "/docker/host/start/").route);
  CHECK_FALSE(match("POST", "/docker/host/start/%zz").route);
  CHECK_FALSE(match("POST", "/docker/host/start/a%00b").route);
}

TEST_CASE("a known path with another method is told from an unknown path") {
  CHECK(match("GET", "/submit").known_path);
  CHECK_FALSE(match("GET", "/submit").route);
  CHECK_FALSE(match("GET", "/nothing").known_path);
  CHECK(match("HEAD", "/nodes").route);
  CHECK_FALSE(match("GET", "/api").known_path);
  CHECK_FALSE(match("GET", "").known_path);
}

TEST_CASE("errors become statuses and a detail") {
  CHECK(error_response(NotFound("x is not there", "Look elsewhere.")).status == 404);
  CHECK(error_response(NotFound("x is not there", "Look elsewhere.")).body == R"({"detail":"x is not there. Look elsewhere."})");
  CHECK(error_response(Conflict("c")).status == 409);
  CHECK(error_response(Unavailable("u")).status == 503);
  CHECK(error_response(std::runtime_error("bug")).status == 500);
  CHECK(error_response(InvalidInput("bad \xff byte")).body.find("bad") != std::string::npos);
}
