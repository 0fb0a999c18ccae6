// The secret in an Authorization header. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::net {

// The token of "Bearer TOKEN"; nullopt: another scheme.
std::optional<std::string> bearer_token(std::string_view authorization);
// The password of "Basic base64(USER:PASSWORD)", whoever the user is (RFC 7617); nullopt: another scheme, or malformed.
std::optional<std::string> basic_password(std::string_view authorization);

}  // namespace riverbox::net
