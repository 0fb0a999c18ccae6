#include "base/json.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using Json = nlohmann::json;

namespace {

template <class T>
bool refused(const char* text) {
  try {
    Json::parse(text).get<T>();
    return false;
  } catch (const Json::type_error&) {
    return true;
  }
}

}  // namespace

TEST_CASE("a number is read into what can hold it, or not at all") {
  CHECK(Json::parse("2147483647").get<int>() == 2147483647);
  CHECK(Json::parse("-2147483648").get<int>() == -2147483647 - 1);
  CHECK(Json::parse("3.9").get<int>() == 3);
  CHECK(Json::parse("-0.5").get<std::uint64_t>() == 0);
  CHECK(Json::parse("18446744073709551615").get<std::uint64_t>() == UINT64_MAX);
  CHECK(Json::parse("1e15").get<std::int64_t>() == 1'000'000'000'000'000);
  for (const char* text : {"2147483648", "-2147483649", "2147483648.0", "1e300", "-1e300", "\"1\"", "null", "[]"}) CHECK_MESSAGE(refused<int>(text), text);
  for (const char* text : {"-1", "-1.0", "18446744073709551616", "1e20"}) CHECK_MESSAGE(refused<std::uint64_t>(text), text);
  for (const char* text : {"9223372036854775808", "9223372036854775808.0", "-1e19"}) CHECK_MESSAGE(refused<std::int64_t>(text), text);
  CHECK(refused<std::vector<int>>("[1, 1e10]"));
  CHECK(Json(5) == Json::parse("5"));
  CHECK(nlohmann::ordered_json::parse(R"({"a": 7})").value("a", 0) == 7);
  CHECK_THROWS_AS(nlohmann::ordered_json::parse(R"({"a": 7e30})").value("a", 0), nlohmann::json::type_error);
}
