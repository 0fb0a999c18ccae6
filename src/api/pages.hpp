// The pages of the host for browsers: plain HTML that needs no script.
#pragma once
#include <string_view>

#include "base/identity.hpp"
#include "net/http.hpp"

namespace riverbox::api {

// With what a page may do (Content-Security-Policy): nothing but what comes from this host, in no frame of others.
net::Response html_page(std::string_view title, std::string_view body, int status = 200, std::string_view script = {});
// `problem`: what was wrong with the last try, or empty.
net::Response login_page(std::string_view problem, int status = 200);
net::Response home_page(const Identity& identity);
net::Response redirect_to(std::string_view path);
// For text between tags and in quoted attributes.
std::string html_escaped(std::string_view text);

}  // namespace riverbox::api
