#include "api/fields.hpp"

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {

using nlohmann::json;

void wrong(const std::string& field, const std::string& expected) {
  throw InvalidInput("field '" + field + "' must be " + expected);
}

const json* field(const json& body, const char* name) {
  auto it = body.find(name);
  return it == body.end() || it->is_null() ? nullptr : &*it;
}

std::string text(const json& body, const char* name, std::string otherwise) {
  auto value = field(body, name);
  if (!value) return otherwise;
  if (!value->is_string()) wrong(name, "a string");
  auto out = value->get<std::string>();
  if (out.find('\0') != std::string::npos) wrong(name, "text without NUL bytes");
  return out;
}

std::uint64_t number(const json& body, const char* name, std::uint64_t otherwise, std::uint64_t maximum) {
  auto value = field(body, name);
  if (!value) return otherwise;
  std::optional<unsigned long long> out;
  if (value->is_number_unsigned()) out = value->get<std::uint64_t>();
  else if (value->is_string()) out = parse_u64(value->get<std::string>());
  if (!out || *out > maximum) wrong(name, "a whole number from 0 to " + std::to_string(maximum));
  return *out;
}

std::optional<bool> flag(const json& body, const char* name) {
  auto value = field(body, name);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) wrong(name, "true or false");
  return value->get<bool>();
}

std::vector<std::string> texts(const json& body, const char* name) {
  std::vector<std::string> out;
  auto value = field(body, name);
  if (!value) return out;
  if (!value->is_array()) wrong(name, "a list of strings");
  for (const auto& one : *value) {
    if (!one.is_string()) wrong(name, "a list of strings");
    out.push_back(one.get<std::string>());
  }
  return out;
}

}  // namespace riverbox::api
