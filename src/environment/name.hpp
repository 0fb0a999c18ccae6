// The name of an environment: ^[a-z0-9][a-z0-9._-]{0,127}$ and usable as a Docker repository name.
#pragma once
#include <compare>
#include <string>
#include <string_view>

namespace riverbox::environment {

class EnvironmentName {
public:
  // Throws InvalidInput with what is wrong; upper case gets a message that proposes the lower-case name.
  // Docker's grammar for repository components is obeyed too (no "..", no trailing separator).
  static EnvironmentName parse(std::string_view text);
  static bool is_valid(std::string_view text);
  const std::string& str() const { return text_; }
  auto operator<=>(const EnvironmentName&) const = default;

private:
  explicit EnvironmentName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace riverbox::environment
