#include <doctest/doctest.h>

#include "environment/holdings.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

const std::string kOne(64, '1'), kTwo(64, '2');

nlohmann::json told(const std::string& environment, const std::string& fingerprint = kOne) { return {{"environment", environment}, {"fingerprint", fingerprint}}; }

}  // namespace

TEST_CASE("what a node holds is what has the name of an environment and a fingerprint, each once") {
  const auto read = holdings_of(nlohmann::json::array({told("torch"), told("jax", kTwo), told("torch"), told("Torch"), told(""), told("a/b"), told(std::string(200, 'a')), told("jax", "short"), told("jax", std::string(64, 'g'))}));
  CHECK(read.holdings == std::vector<Holding>{{"jax", kTwo}, {"torch", kOne}});
  CHECK(read.left_out == 6);
  CHECK(holdings_of(nlohmann::json::array()).holdings.empty());
  CHECK_THROWS_AS(holdings_of(nlohmann::json::array({{{"environment", 1}}})), nlohmann::json::exception);
}

TEST_CASE("what a node holds is bounded") {
  auto list = nlohmann::json::array();
  for (int i = 0; i < 10'003; ++i) list.push_back(told("e" + std::to_string(i)));
  const auto read = holdings_of(list);
  CHECK(read.holdings.size() == 10'000);
  CHECK(read.left_out == 3);
}

TEST_CASE("an environment of which a node holds more is new once") {
  using Names = std::vector<std::string>;
  const std::vector<Holding> before{{"jax", kOne}, {"torch", kOne}};
  CHECK(newly_held(before, before).empty());
  CHECK(newly_held(before, {{"torch", kOne}}).empty());
  CHECK(newly_held(before, {{"jax", kOne}, {"torch", kOne}, {"torch", kTwo}}) == Names{"torch"});
  CHECK(newly_held({}, {{"a", kOne}, {"a", kTwo}, {"b", kOne}}) == Names{"a", "b"});
}
