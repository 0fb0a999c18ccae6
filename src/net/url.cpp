#include "net/url.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::net {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* why) {
  throw InvalidInput(fmt::format("\"{}\" is not the address of a server: {}", printable(text, 200), why),
                     "Write it as http://HOST:PORT, for example http://127.0.0.1:8000.");
}

constexpr std::string_view kUnix = "unix://";

// The path of the socket ends at the colon, or at the end.
HttpUrl parse_unix(std::string_view text) {
  const std::string_view rest = text.substr(kUnix.size());
  const size_t colon = rest.find(':');
  HttpUrl url{.scheme = "http", .host = "localhost", .port = 80, .target = "/", .unix_socket = std::string(rest.substr(0, colon)), .pin = {}};
  if (!url.unix_socket.starts_with('/')) refuse(text, "the path of a unix socket begins with /, as in unix:///run/riverbox/host.sock");
  if (colon != std::string_view::npos && colon + 1 < rest.size()) url.target = rest.substr(colon + 1);
  if (!url.target.starts_with('/')) refuse(text, "after the path of the socket comes a colon and a path that begins with /");
  return url;
}

}  // namespace

HttpUrl HttpUrl::parse(std::string_view text) {
  if (text.starts_with(kUnix)) return parse_unix(text);
  HttpUrl url;
  std::string_view rest = text;
  const size_t scheme_end = rest.find("://");
  const std::string scheme = scheme_end == std::string_view::npos ? "http" : to_lower(rest.substr(0, scheme_end));
  if (scheme_end != std::string_view::npos) rest.remove_prefix(scheme_end + 3);
  if (scheme == "http" || scheme == "ws")
    url.scheme = "http";
  else if (scheme == "https" || scheme == "wss")
    url.scheme = "https";
  else
    refuse(text, "the scheme must be http or https");

  for (unsigned char c : rest)
    if (c <= 0x20 || c == 0x7f) refuse(text, "it contains a blank or a control character");
  const size_t path = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, path);
  std::string_view tail = path == std::string_view::npos ? "" : rest.substr(path);
  const size_t fragment = tail.find('#');
  url.target = (tail.starts_with('/') ? "" : "/") + std::string(tail.substr(0, fragment));
  if (fragment != std::string_view::npos && fragment + 1 < tail.size()) {
    if (!url.secure()) refuse(text, "a fingerprint needs https");
    url.pin = Fingerprint::parse(tail.substr(fragment + 1));
  }

  if (authority.find('@') != std::string_view::npos) refuse(text, "a user name is not supported; give the token instead");
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) refuse(text, "the bracket of the IPv6 address is not closed");
    url.host = to_lower(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') refuse(text, "after the address comes a colon and the port");
  } else {
    const size_t colon = authority.find(':');
    url.host = to_lower(authority.substr(0, colon));
    port = colon == std::string_view::npos ? "" : authority.substr(colon);
  }
  if (url.host.empty()) refuse(text, "the host is missing");
  url.port = url.secure() ? 443 : 80;
  if (port.size() > 1) {
    const auto number = parse_u64(port.substr(1));
    if (!number || *number == 0 || *number > 65535) refuse(text, "the port must be a number from 1 to 65535");
    url.port = static_cast<std::uint16_t>(*number);
  }
  return url;
}

std::string HttpUrl::authority() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::string HttpUrl::str() const {
  const std::string path = target.substr(0, target.find('?'));
  return unix_socket.empty() ? fmt::format("{}://{}{}", scheme, authority(), path) : fmt::format("{}{}:{}", kUnix, unix_socket, path);
}

std::string at_host(std::string_view host_url, std::string_view target) {
  const size_t pin = std::min(host_url.find('#'), host_url.size());
  size_t end = pin;
  while (end > 0 && target.starts_with('/') && host_url[end - 1] == '/') --end;
  const bool first_after_socket = host_url.starts_with(kUnix) && host_url.find(':', kUnix.size()) == std::string_view::npos;
  return fmt::format("{}{}{}{}", host_url.substr(0, end), first_after_socket ? ":" : "", target, host_url.substr(pin));
}

std::string shown_host(std::string_view host_url) { return std::string(host_url.substr(0, host_url.find('#'))); }

}  // namespace riverbox::net
