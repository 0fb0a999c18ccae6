// nlohmann/json, as all of us include it: a number is read only into what can hold it. The library leaves that to the caller: a float that no integer can be is undefined
// behaviour, and of an integer that is too large the lower bits are taken.
#pragma once
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

template <typename Integer>
struct nlohmann::adl_serializer<Integer, std::enable_if_t<std::is_integral_v<Integer> && (sizeof(Integer) > 1)>> {
  template <typename Json>
  static void to_json(Json& json, Integer number) {
    nlohmann::to_json(json, number);
  }

  // Throws type_error, as the library does for what is no number; a fraction is cut off, as there.
  template <typename Json>
  static void from_json(const Json& json, Integer& number) {
    if (const auto* natural = json.template get_ptr<const typename Json::number_unsigned_t*>()) take(json, std::in_range<Integer>(*natural), *natural, number);
    else if (const auto* whole = json.template get_ptr<const typename Json::number_integer_t*>()) take(json, std::in_range<Integer>(*whole), *whole, number);
    else if (const auto* real = json.template get_ptr<const typename Json::number_float_t*>()) take(json, holds(*real), *real, number);
    else throw nlohmann::detail::type_error::create(302, std::string("type must be number, but is ") + json.type_name(), &json);
  }

private:
  static bool holds(double real) {
    constexpr auto kDigits = std::numeric_limits<Integer>::digits;
    return real > (std::is_signed_v<Integer> ? -std::ldexp(1.0, kDigits) - 1 : -1.0) && real < std::ldexp(1.0, kDigits);  // also false for what is no number at all
  }
  template <typename Json, typename Value>
  static void take(const Json& json, bool fits, Value value, Integer& number) {
    if (!fits) throw nlohmann::detail::type_error::create(302, "number out of range: " + json.dump(), &json);
    number = static_cast<Integer>(value);
  }
};
