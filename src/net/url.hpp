// The addresses that clients accept: http, https, ws or wss, host, port, path; or a unix socket.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/fingerprint.hpp"

namespace riverbox::net {

struct HttpUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; of an IPv6 address without brackets
  std::uint16_t port = 0;
  std::string target;  // path and query, at least "/"
  std::string unix_socket;         // its path; then host and port only fill the Host header
  std::optional<Fingerprint> pin;  // of the certificate (or its CA's) that the server must have, whatever others say about it

  // "https://node0:8000/path#sha256:..." pins; "unix:///run/riverbox/host.sock:/path" is a unix socket. A missing scheme means http. Throws InvalidInput.
  static HttpUrl parse(std::string_view text);
  bool secure() const { return scheme == "https"; }
  std::string authority() const;  // "host:port", "[::1]:8000"
  std::string str() const;        // for people: without the query, which may carry a token, and without the pin
};

// The address of `target` ("/api/...", or what else is to follow) at a host that is written as above; the pin stays at the end.
std::string at_host(std::string_view host_url, std::string_view target);
// The address of the host for people: without the pin.
std::string shown_host(std::string_view host_url);

}  // namespace riverbox::net
