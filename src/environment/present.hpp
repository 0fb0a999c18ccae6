// What a daemon has of an archive already. Asks the daemon, remembers what cannot change, believes nothing across stores. Blocking, thread-safe.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "docker/engine.hpp"
#include "environment/thin.hpp"

namespace riverbox::environment {

// Other versions of which the daemon may have the image, most promising first; nullopt: no more.
using NextKnownVersion = std::function<std::optional<Archive>()>;

class PresentLayers {
public:
  // `memory` is a file of this machine that remembers over restarts what the daemon was given; empty: nothing does. It is never believed, only a
  // reason to ask, so it may be absent, damaged or of another daemon.
  explicit PresentLayers(docker::Engine& engine, std::filesystem::path memory = {}) : engine_(engine), memory_(std::move(memory)) {}

  struct Choice {
    Shipment shipment;
    std::string why;  // nothing is left out
  };
  // Graph-driver store: everything above the longest chain that an image of the daemon has. Containerd store: only blobs of images that the daemon
  // lists under the manifest digest of a version we know, because a layer that came in another way has no such blob.
  // `before` is the image that this one is to replace.
  Choice choose(const Archive& archive, const std::optional<docker::Image>& before, const NextKnownVersion& known_versions);
  // The daemon has taken this archive in OCI form, completely.
  void remember(const Archive& archive);
  // It was not as the daemon had said: ask again.
  void distrust();

private:
  struct Known {
    std::vector<std::string> diff_ids;
    std::set<std::string> blobs;
  };
  bool containerd_store();
  Choice choose_for_graph_driver(const Archive& archive, const std::optional<docker::Image>& before);
  Choice choose_for_containerd(const Archive& archive, const NextKnownVersion& known_versions);
  std::vector<std::vector<std::string>> chains_of_images();
  bool is_complete(const std::string& image_id, const std::vector<std::string>& diff_ids);
  void recall();
  void write_down() const;

  docker::Engine& engine_;
  const std::filesystem::path memory_;
  std::mutex mutex_;
  std::optional<bool> containerd_;
  std::map<std::string, std::vector<std::string>> chains_;  // image ID -> diff IDs; only of images that are there
  std::map<std::string, Known> loaded_;                     // manifest digest -> what was loaded
  bool recalled_ = false;
};

}  // namespace riverbox::environment
