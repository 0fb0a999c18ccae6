// Fields of the Engine's answers, where a field may be missing, null or (between versions) of another type.
// Internal to docker/.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace riverbox::docker {

// The field, or null.
inline const nlohmann::json& field(const nlohmann::json& object, const char* key) {
  static const nlohmann::json null;
  if (!object.is_object()) return null;
  auto found = object.find(key);
  return found == object.end() ? null : *found;
}

inline std::string text(const nlohmann::json& object, const char* key) {
  auto& value = field(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

inline std::int64_t number(const nlohmann::json& object, const char* key) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  auto& value = field(object, key);
  if (value.is_number_unsigned()) return static_cast<std::int64_t>(std::min(value.get<std::uint64_t>(), kLargest));
  return value.is_number_integer() ? value.get<std::int64_t>() : 0;
}

inline bool flag(const nlohmann::json& object, const char* key) {
  auto& value = field(object, key);
  return value.is_boolean() && value.get<bool>();
}

inline std::vector<std::string> texts(const nlohmann::json& array) {
  std::vector<std::string> result;
  if (array.is_array())
    for (auto& value : array)
      if (value.is_string()) result.push_back(value.get<std::string>());
  return result;
}

// Of a container or an image; the epoch when it is missing, or the year 1 that stands for "unknown".
inline WallTime created_of(const nlohmann::json& answer) {
  try {
    return parse_rfc3339(text(answer, "Created"));
  } catch (const Error&) {
    return {};
  }
}

// The name without the Engine's leading slash.
inline std::string bare_name(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  return name;
}

}  // namespace riverbox::docker
