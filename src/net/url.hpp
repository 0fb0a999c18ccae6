// The addresses that clients accept: http, https, ws or wss, host, port, path.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace riverbox::net {

struct HttpUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; of an IPv6 address without brackets
  std::uint16_t port = 0;
  std::string target;  // path and query, at least "/"

  // A missing scheme means http. Throws InvalidInput.
  static HttpUrl parse(std::string_view text);
  bool secure() const { return scheme == "https"; }
  std::string authority() const;  // "host:port", "[::1]:8000"
  std::string str() const;        // without the query, which may carry a token
};

}  // namespace riverbox::net
