#include "net/credentials.hpp"

#include "base/strings.hpp"

namespace riverbox::net {
namespace {

std::optional<std::string_view> after_scheme(std::string_view authorization, std::string_view lower_scheme) {
  const std::string_view value = trim(authorization);
  if (value.size() <= lower_scheme.size() || value[lower_scheme.size()] != ' ' || to_lower(value.substr(0, lower_scheme.size())) != lower_scheme)
    return std::nullopt;
  return trim(value.substr(lower_scheme.size()));
}

}  // namespace

std::optional<std::string> bearer_token(std::string_view authorization) {
  const auto token = after_scheme(authorization, "bearer");
  if (!token) return std::nullopt;
  return std::string(*token);
}

std::optional<std::string> basic_password(std::string_view authorization) {
  const auto encoded = after_scheme(authorization, "basic");
  if (!encoded) return std::nullopt;
  const auto pair = base64_decoded(*encoded);
  if (!pair) return std::nullopt;
  const size_t colon = pair->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return pair->substr(colon + 1);
}

}  // namespace riverbox::net
