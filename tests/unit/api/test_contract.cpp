#include <doctest/doctest.h>

#include <map>
#include <regex>
#include <set>

#include "api/contract.hpp"
#include "api/route.hpp"
#include "base/strings.hpp"

using namespace riverbox;
using namespace riverbox::api;

namespace {

std::multiset<std::string> first_words(std::string_view table, size_t count) {
  std::multiset<std::string> out;
  for (const auto& line : split(table, '\n')) {
    auto words = split(line, ' ');
    words.resize(std::min(count, words.size()));
    out.insert(join(words, " "));
  }
  return out;
}

}  // namespace

TEST_CASE("the contract tells of every route once, and of none that is not there") {
  std::multiset<std::string> expected;
  for (const auto& route : routes()) expected.insert(std::string(route.method) + " " + route.pattern);
  CHECK(first_words(kExchanges, 2) == expected);
}

TEST_CASE("every shape is told once, and all that is spoken of is told") {
  const auto shapes = first_words(kShapes, 1);
  const std::set<std::string> names(shapes.begin(), shapes.end());
  CHECK(names.size() == shapes.size());
  const std::regex word("[A-Z][A-Za-z]+");
  for (const auto table : {kShapes, kExchanges}) {
    for (const auto& line : split(table, '\n')) {
      auto words = split(line, ' ');
      words.erase(words.begin());
      for (const auto& one : words) {
        if (one.find('/') != std::string::npos || one.starts_with('?')) continue;  // a path, a media type; parameters
        const auto type = one.substr(one.find_first_of(":>+<=") + 1);
        for (std::sregex_iterator it(type.begin(), type.end(), word), end; it != end; ++it) CHECK_MESSAGE(names.contains(it->str()), line);
      }
    }
  }
}
