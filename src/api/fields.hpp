// The fields of a JSON body, checked. Absent and null mean "the default"; what has another type is refused with its name: InvalidInput.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"

namespace riverbox::api {

[[noreturn]] void wrong(const std::string& field, const std::string& expected);
const nlohmann::json* field(const nlohmann::json& body, const char* name);  // null: absent
std::string text(const nlohmann::json& body, const char* name, std::string otherwise);
// HakuRiver accepts numbers in strings too.
std::uint64_t number(const nlohmann::json& body, const char* name, std::uint64_t otherwise, std::uint64_t maximum);
std::optional<bool> flag(const nlohmann::json& body, const char* name);
std::vector<std::string> texts(const nlohmann::json& body, const char* name);

}  // namespace riverbox::api
