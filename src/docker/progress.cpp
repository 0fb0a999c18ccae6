#include "docker/progress.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

namespace {

constexpr size_t kMaxLineBytes = 1 << 20;  // real lines are a few hundred bytes

// errorDetail.message or error; empty when the line reports none.
std::string error_of(const nlohmann::json& object) {
  auto message = text(field(object, "errorDetail"), "message");
  return message.empty() ? text(object, "error") : message;
}

std::uint64_t bytes_of(const nlohmann::json& detail, const char* key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(number(detail, key), 0));
}

}  // namespace

void JsonLines::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    auto end = bytes.find('\n');
    if (end == bytes.npos || !partial_.empty()) partial_.append(bytes.substr(0, end));
    if (partial_.size() > kMaxLineBytes)
      throw DockerError("cannot " + action_ + ": the Docker daemon sent a line of more than " + human_bytes(kMaxLineBytes));
    if (end == bytes.npos) return;
    if (partial_.empty()) {
      line(bytes.substr(0, end));
    } else {
      line(std::exchange(partial_, {}));
    }
    bytes.remove_prefix(end + 1);
  }
}

void JsonLines::finish() { line(std::exchange(partial_, {})); }

void JsonLines::line(std::string_view text) {
  text = trim(text);  // the daemon ends its lines with CR LF
  if (text.empty()) return;
  auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object())
    throw DockerError("cannot " + action_ + ": the Docker daemon's answer is not JSON: '" + printable(text, 80) + "'",
                      "Check that DOCKER_HOST names a Docker Engine.");
  handler_(object);
}

void PullTracker::line(const nlohmann::json& object, const PullCallback& callback) {
  if (auto error = error_of(object); !error.empty()) {
    error_ = error;
    return;
  }
  const auto status = text(object, "status"), id = text(object, "id");
  auto& detail = field(object, "progressDetail");
  if (!id.empty() && !status.starts_with("Pulling from")) {
    auto& layer = layers_[id];
    const bool in_bytes = field(detail, "units").is_null();  // the containerd store reports extraction in seconds
    if (status == "Downloading" && in_bytes) {
      layer.downloaded = std::max(layer.downloaded, bytes_of(detail, "current"));
      layer.download_total = std::max(layer.download_total, bytes_of(detail, "total"));
    } else if (status == "Download complete" || status == "Extracting" || status == "Pull complete" || status == "Verifying Checksum") {
      layer.downloaded = layer.download_total = std::max(layer.download_total, layer.downloaded);
      layer.is_downloaded = true;
      if (status == "Extracting" && in_bytes) layer.extracted = std::max(layer.extracted, bytes_of(detail, "current"));
      if (status == "Pull complete") layer.extracted = layer.download_total;
    } else if (status == "Already exists") {
      layer.is_downloaded = true;
    }
  }
  if (callback && !status.empty()) callback(sum(status));
}

// Two phases, each with its own sum: as long as a layer comes, what came; then, what is unpacked.
PullProgress PullTracker::sum(const std::string& status) const {
  PullProgress download{status}, extract{status};
  bool downloading = false, known = true;
  for (auto& [id, layer] : layers_) {
    download.current_bytes += layer.downloaded;
    download.total_bytes += layer.download_total;
    extract.current_bytes += layer.extracted;
    extract.total_bytes += layer.download_total;
    downloading |= !layer.is_downloaded;
    known &= layer.is_downloaded || layer.download_total > 0;
  }
  if (!downloading) return extract;
  if (download.current_bytes > 0) download.step = "Downloading";
  if (!known) download.total_bytes = 0;  // layers that wait have told no size yet
  return download;
}

void LoadTracker::line(const nlohmann::json& object) {
  if (auto error = error_of(object); !error.empty()) {
    result_.error = error;
    return;
  }
  const auto stream = text(object, "stream");
  const std::string said(trim(stream));
  for (std::string_view start : {"Loaded image: ", "Loaded image ID: "})
    if (said.starts_with(start)) result_.loaded.push_back(said.substr(start.size()));
  if (said.starts_with("Error unpacking image") && result_.error.empty()) result_.error = said;  // with status 200 and no errorDetail
}

}  // namespace riverbox::docker
