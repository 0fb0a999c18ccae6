// The Engine API on top of HTTP: the negotiated version in every path, answers as JSON, refusals as errors.
// Internal to docker/.
#pragma once
#include <optional>

#include "base/json.hpp"
#include "docker/http.hpp"

namespace riverbox::docker {

constexpr const char* kNewestApi = "1.51";  // what we were written against
constexpr const char* kOldestApi = "1.40";  // Docker 19.03

// "1.41" < "1.5" is false: the parts are numbers. Text that is no version is older than every version.
bool api_less(std::string_view left, std::string_view right);

// What a call is about: decides which error a refusal becomes.
enum class Topic { daemon, container, create, exec, image, pull, commit, save, load };

struct Call {
  Topic topic = Topic::daemon;
  Request request;      // path without the version
  bool not_modified_is_fine = false;
};

class Api {
public:
  explicit Api(Endpoint endpoint) : http_(std::move(endpoint)) {}
  const Endpoint& endpoint() const { return http_.endpoint(); }

  // The version both sides speak, "1.41". Asks /_ping when it is not known. Throws DockerConnectionError, DockerError.
  std::string negotiated();
  // A successful answer (2xx). Throws the errors of docker/errors.hpp.
  Response send(Call call);
  // The same, as JSON.
  nlohmann::json ask(Call call);
  // The daemon went away or changed: the next call negotiates again.
  void forget_version();
  // Throws DockerConnectionError unless /_ping is answered with 200 within `limit`.
  Response ping(std::chrono::milliseconds limit);

private:
  Http http_;
  std::mutex mutex_;
  std::optional<std::string> negotiated_;
};

// The error for `status`, `body` being the daemon's {"message": ...}. Exposed for the hijacked calls.
[[noreturn]] void throw_refusal(const Call& call, long status, const std::string& body);
// For an operation that failed in the daemon with a text but no status (a line of a progress stream).
[[noreturn]] void throw_failure(Topic topic, const std::string& action, long status, const std::string& cause);

// Throws DockerError naming the action.
nlohmann::json parse_answer(const std::string& body, const std::string& action);

// Query strings: {{"all", "1"}} -> "?all=1", encoded.
std::string query(std::initializer_list<std::pair<std::string_view, std::string>> fields);

}  // namespace riverbox::docker
