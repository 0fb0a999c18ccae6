// What the engine_*.cpp files share. Internal to docker/.
#pragma once
#include "docker/api.hpp"
#include "docker/engine.hpp"
#include "docker/upload.hpp"

namespace riverbox::docker {

struct Engine::Impl {
  explicit Impl(Endpoint endpoint) : api(std::move(endpoint)) {}
  Api api;
  std::mutex mutex;
  std::optional<Version> version;  // the rest of GET /version, for the negotiated API of that time
  struct PreparedLoad {
    std::unique_ptr<BegunUpload> upload;
    std::chrono::steady_clock::time_point since;
  };
  std::optional<PreparedLoad> prepared_load;
};

// `verb` container 'name': METHOD /containers/<name><rest>.
Call container_call(const char* verb, const std::string& name, const char* method, const std::string& rest);
// `verb` image 'reference': METHOD /images/<reference><rest>.
Call image_call(const char* verb, const std::string& reference, const char* method, const std::string& rest);

// A hijacked POST: the connection becomes a byte stream after the answer's head. Throws like Api::send.
std::unique_ptr<Stream> open_hijacked(Api& api, Call call);

// Sleeps in steps that notice the token. Throws Cancelled or Timeout.
void sleep_cancellable(std::chrono::milliseconds time, const CancelToken& cancel, const char* what);

// The answer of GET /containers/<id>/json.
Container parse_container(const nlohmann::json& answer);

}  // namespace riverbox::docker
