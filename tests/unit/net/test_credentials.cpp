#include <doctest/doctest.h>

#include "base/config.hpp"
#include "base/strings.hpp"
#include "net/credentials.hpp"
#include "net/security.hpp"

using namespace riverbox;
using namespace riverbox::net;

TEST_CASE("bearer tokens and basic passwords") {
  CHECK(bearer_token("Bearer abc") == "abc");
  CHECK(bearer_token("  bEARER   abc ") == "abc");
  CHECK_FALSE(bearer_token("Bearerabc"));
  CHECK_FALSE(bearer_token("Bearer"));
  CHECK_FALSE(bearer_token("Basic abc"));
  CHECK(basic_password("Basic " + base64("me:secret")) == "secret");
  CHECK(basic_password("basic " + base64(":a:b")) == "a:b");
  CHECK(basic_password("Basic " + base64("me:")) == "");
  for (const auto& text : {std::string("Basic"), std::string("Basic ?"), "Basic " + base64("no colon"), std::string("Bearer eDp5")}) CHECK_FALSE(basic_password(text));
}

TEST_CASE("a puller may give the token either way; other routes take it as a bearer token only") {
  const AccessPolicy policy(Config{}, {.token = [](const std::string& token) { return token == "secret" ? std::optional(Identity{"alice", Role::user}) : std::nullopt; }});
  const auto request = [](const std::string& authorization) {
    Request r;
    if (!authorization.empty()) r.headers["authorization"] = authorization;
    return r;
  };
  CHECK(policy.identify_puller(request("Bearer secret")));
  CHECK(policy.identify_puller(request("Basic " + base64("anybody:secret"))));
  CHECK(policy.identify(request("Bearer secret")));
  CHECK_FALSE(policy.identify(request("Basic " + base64("anybody:secret"))));
  for (const auto& wrong : {std::string(), std::string("Bearer other"), "Basic " + base64("secret:other"), "Basic " + base64("secret"), std::string("Basic secret")})
    CHECK_FALSE(policy.identify_puller(request(wrong)));
  CHECK(AccessPolicy(Config{}, {}).identify_puller(request("")));
}
