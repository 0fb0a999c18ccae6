// Outgoing HTTP to a riverbox host (libcurl). Blocking; one object per thread.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "net/http.hpp"

namespace riverbox::net {

class HttpClient {
public:
  HttpClient(std::string base_url, std::string bearer_token);
  ~HttpClient();
  struct Options {
    std::chrono::milliseconds connect_timeout{5000};
    std::chrono::milliseconds total_timeout{30000};  // 0 = none
    std::vector<std::pair<std::string, std::string>> headers;
    std::function<void(std::string_view)> on_body;   // given: the body of a 2xx is streamed here instead of kept
  };
  // Returns any HTTP answer. Throws Unavailable ("cannot reach the host at URL: reason", next: how to start it), Timeout.
  Response request(const std::string& method, const std::string& target, std::string body, const Options& options, const CancelToken& cancel = {});
  Response request(const std::string& method, const std::string& target, std::string body = {});

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::net
