// What the registry's routes share: errors in the form of the OCI distribution specification, and paths that are no row of the table.
#pragma once
#include <string>
#include <string_view>

#include "net/http.hpp"

namespace riverbox::api {

bool is_registry_path(std::string_view path);  // "/v2" and below, as sent

net::Response registry_error(int status, std::string_view code, std::string_view message);
// 401 with the challenge that pullers answer by themselves.
net::Response registry_challenge();
// For a request below /v2/ that no row answers.
net::Response registry_refusal(const std::string& method, bool known_path);

}  // namespace riverbox::api
