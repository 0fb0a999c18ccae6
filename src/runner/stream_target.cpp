#include "runner/stream_target.hpp"

#include "base/strings.hpp"
#include "net/url.hpp"

namespace riverbox::runner {

net::WebSocketRequest stream_request(const StreamTarget& target, const std::string& stream) {
  net::WebSocketRequest request;
  request.url = net::at_host(target.host_url, "/api/runner/stream/" + percent_encoded(stream));
  if (!target.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + target.token);
  return request;
}

}  // namespace riverbox::runner
