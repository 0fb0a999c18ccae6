#include "environment/name.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kMaxLength = 128;
constexpr const char* kNameAdvice = "Use lower-case letters and digits, with single '.', '_' or '-' between them, as in 'py311-cuda'.";

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_separator(char c) { return c == '.' || c == '_' || c == '-'; }

// Docker's grammar of a repository component: alnum+ ((\. | _ | __ | -+) alnum+)*
bool separators_are_legal(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (!is_separator(text[i])) { ++i; continue; }
    size_t end = i;
    while (end < text.size() && is_separator(text[end])) ++end;
    const std::string_view run = text.substr(i, end - i);
    const bool all_dashes = run.find_first_not_of('-') == std::string_view::npos;
    if (end == text.size() || !(all_dashes || run == "." || run == "_" || run == "__")) return false;
    i = end;
  }
  return true;
}

// Names the fault; empty: the name is good. In the order in which a person would want to hear of them.
std::string fault_of(std::string_view text) {
  if (text.empty()) return "environment name is empty";
  const std::string shown = printable(text, 60);
  if (text.size() > kMaxLength) {
    return fmt::format("environment name '{}' has {} characters: {} are allowed", shown, text.size(), kMaxLength);
  }
  for (const char c : text) {
    if (is_alnum(c) || is_separator(c) || is_upper(c)) continue;
    if (c == '/') return fmt::format("environment names cannot contain '/': '{}' is not allowed", shown);
    if (c == ' ') return fmt::format("environment names cannot contain spaces: '{}' is not allowed", shown);
    if (c == '\n') return fmt::format("environment names cannot contain a line break: '{}' is not allowed", shown);
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return fmt::format("environment names cannot contain control characters: '{}' is not allowed", shown);
    }
    if (static_cast<unsigned char>(c) >= 0x80) {
      return fmt::format("environment names are plain ASCII: '{}' is not allowed", shown);
    }
    return fmt::format("environment names cannot contain '{}': '{}' is not allowed", c, shown);
  }
  if (is_separator(text.front())) {
    return fmt::format("environment names cannot start with '{}': '{}' is not allowed", text.front(), shown);
  }
  if (to_lower(text) != text) return fmt::format("environment names are lower case: '{}' is not allowed", shown);
  if (is_separator(text.back())) {
    return fmt::format("environment names cannot end with '{}': '{}' is not allowed", text.back(), shown);
  }
  if (!separators_are_legal(text)) {
    return fmt::format("'{}' cannot be a Docker repository name: '.' and '_' (or '__') stand alone between letters or digits", shown);
  }
  return {};
}

}  // namespace

EnvironmentName EnvironmentName::parse(std::string_view text) {
  const std::string fault = fault_of(text);
  if (fault.empty()) return EnvironmentName(std::string(text));
  const std::string lower = to_lower(text);
  if (lower != text && is_valid(lower)) throw InvalidInput(fault, fmt::format("Use '{}'.", lower));
  throw InvalidInput(fault, kNameAdvice);
}

bool EnvironmentName::is_valid(std::string_view text) {
  if (text.empty() || text.size() > kMaxLength || !is_alnum(text.front())) return false;
  for (const char c : text) {
    if (!is_alnum(c) && !is_separator(c)) return false;
  }
  return separators_are_legal(text);
}

}  // namespace riverbox::environment
