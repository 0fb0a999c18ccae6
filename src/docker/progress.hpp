// The daemon's progress streams: one JSON object per line, split anywhere by the transport. Internal to docker/.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "docker/engine.hpp"

namespace riverbox::docker {

// Puts lines together. A line that is not JSON throws DockerError naming the action.
class JsonLines {
public:
  using Handler = std::function<void(const nlohmann::json&)>;
  JsonLines(std::string action, Handler handler) : action_(std::move(action)), handler_(std::move(handler)) {}
  void feed(std::string_view bytes);
  // The last line may come without its newline.
  void finish();

private:
  void line(std::string_view text);
  std::string action_;
  Handler handler_;
  std::string partial_;
};

// POST /images/create: progress summed over the layers, and the error that a 200 can carry.
class PullTracker {
public:
  void line(const nlohmann::json& object, const PullCallback& callback);
  const std::string& error() const { return error_; }

private:
  struct Layer {
    std::uint64_t downloaded = 0, download_total = 0, extracted = 0;
    bool is_downloaded = false;
  };
  PullProgress sum(const std::string& status) const;
  std::map<std::string, Layer> layers_;
  std::string error_;
};

// POST /images/load: what was loaded, and the errors in their three disguises.
class LoadTracker {
public:
  void line(const nlohmann::json& object);
  const LoadResult& result() const { return result_; }

private:
  LoadResult result_;
};

}  // namespace riverbox::docker
