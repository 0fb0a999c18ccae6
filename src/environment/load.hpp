// Brings one archive into one daemon: thin where the daemon has layers of it, whole where it has none or anything is odd, and never a worse image than
// before. The image arrives under a tag of its own, is examined there, and only then becomes the environment's.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "environment/archive_file.hpp"
#include "environment/present.hpp"
#include "environment/signatures.hpp"

namespace riverbox::environment {

struct SyncProgress {
  std::string step;                         // "checking", "downloading", "loading", "verifying"
  std::uint64_t bytes = 0, total_bytes = 0;
};
using SyncCallback = std::function<void(const SyncProgress&)>;

// Is the image of the daemon the one in the archive? The Id is no answer: it means different things in the two stores.
bool is_image_of(const docker::Image& image, const Identity& identity);

struct LoadReport {
  docker::Image image;
  bool thin = false;
  size_t layers_left_out = 0;
  std::uint64_t layer_bytes = 0;  // of layers, read from the file
  std::string arrival_tag;        // under which the image came; to be removed by Loader::untag() when nobody waits any more: engines write to disk for it
};

class Loader {
public:
  // `tag` is what the image is called in the end, `before` the image that is called so now. Everything outlives the loader.
  // `gate` is asked for every stream of which the engine is to get a byte, of exactly the documents that are in it.
  Loader(docker::Engine& engine, PresentLayers& present, const std::string& tag, const std::optional<docker::Image>& before, const SignatureGate& gate)
      : engine_(engine), present_(present), tag_(tag), before_(before), gate_(gate) {}
  // `file` has its documents read. Throws docker::ImageImportError (which layer, why), docker::DockerConnectionError, BadData for a file that changes or that the gate refuses,
  // IoError, Cancelled, Timeout. Then the tag is what it was, and no other is left.
  LoadReport load(ArchiveFile& file, const NextKnownVersion& known_versions, const CancelToken& cancel, const SyncCallback& progress);
  static void untag(docker::Engine& engine, const std::string& tag) noexcept;
  // Removes what loaders that died have left behind of images in `repository` ("prefix/name:"), long ago. Throws docker::DockerError.
  static void sweep(docker::Engine& engine, const std::string& repository);

private:
  std::optional<LoadReport> try_thin(ArchiveFile& file, const NextKnownVersion& known_versions, const CancelToken& cancel, const SyncCallback& progress,
                                     std::string& why_full);
  LoadReport load_whole(ArchiveFile& file, const CancelToken& cancel, const SyncCallback& progress);
  LoadReport bring(ArchiveFile& file, const Shipment& shipment, const CancelToken& cancel, const SyncCallback& progress);
  docker::Image examine(const Archive& archive, const std::string& arrival_tag);
  std::string arrival_tag() const;

  docker::Engine& engine_;
  PresentLayers& present_;
  const std::string& tag_;
  const std::optional<docker::Image>& before_;
  const SignatureGate& gate_;
  std::uint64_t layer_bytes_ = 0;
};

}  // namespace riverbox::environment
