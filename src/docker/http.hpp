// One HTTP exchange with the daemon at a time per connection, any number of connections, kept for the next call.
// Bodies stream both ways. Internal to docker/; thread-safe; every call blocks.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "docker/engine.hpp"

namespace riverbox::docker {

constexpr std::chrono::seconds kQuick{30};      // a call that the daemon answers from memory
constexpr std::chrono::seconds kNoLimit{0};     // only the CancelToken ends it

struct Request {
  std::string action;  // "create container 'x'", for messages: "cannot <action>: ..."
  std::string method = "GET";
  std::string path;    // encoded, with the query
  std::string body;    // JSON; ignored when there is a source
  std::vector<std::string> headers;
  // Longest silence in either direction, the wait for the first byte of the answer included.
  std::chrono::milliseconds silence = kQuick;
  const CancelToken* cancel = nullptr;
  // Body of the request, exactly `source_bytes`; returns 0 only at the end; may throw.
  std::function<size_t(char* buffer, size_t size)> source;
  std::uint64_t source_bytes = 0;
  // Body of an answer with status 200; may throw. Without it (and for every other status) it is collected.
  std::function<void(std::string_view)> sink;
};

struct Response {
  long status = 0;
  std::string body;
  std::string api_version;  // of the Api-Version header
  std::string server;       // of the Server header, "Docker/20.10.24 (linux)"
};

class Http {
public:
  explicit Http(Endpoint endpoint);
  ~Http();
  const Endpoint& endpoint() const { return endpoint_; }
  // Any status is an answer. Throws DockerConnectionError, Cancelled, Timeout (the token's deadline) and what the
  // callbacks throw. The token is looked at five times a second at least.
  Response perform(const Request& request);

private:
  struct Channel;
  std::unique_ptr<Channel> take();
  void give_back(std::unique_ptr<Channel> channel);

  Endpoint endpoint_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Channel>> idle_;
};

// One segment of a path, percent-encoded. Throws InvalidInput for what no name or ID can be: `what` is "container name".
std::string path_segment(std::string_view text, const char* what);

}  // namespace riverbox::docker
