// From an image in the daemon to an archive in a file: by the layers' own files where they can be read, else through the engine.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "environment/archive.hpp"
#include "environment/archive_builder.hpp"
#include "environment/share.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {

// How an archive came to be, for logs and the API.
struct Packaging {
  std::string way;                       // "layers": from the daemon's files; "save": the engine's own archive, written anew; "engine": the same, as it came; "squash": one layer of all
  std::string why;                       // "save" and "engine": what was in the way of "layers"
  size_t layers = 0, layers_taken_over = 0;  // of the version before
  std::uint64_t bytes_taken_over = 0;    // shared with it or copied inside the kernel; the others were written
};

class Packager {
public:
  struct Options {
    std::function<void(std::uint64_t size_bytes)> progress;  // every few MB; may throw
    const CancelToken* cancel = nullptr;
    Compression compression = Compression::none;
    std::function<std::string(std::string config)> edit_config = {};  // what the archive says about the image, when that is not what the engine has
  };
  // `tag` names the image in the daemon and is what a load of the archive sets.
  Packager(docker::Engine& engine, const Share& share, const docker::Image& image, std::string tag, Options options);
  // Blocking. `final_place` is where the caller will publish the file; nothing is there yet. Every layer has been compared with its diff ID.
  // Throws IoError, docker::ImageExportError, BadData, Cancelled.
  std::unique_ptr<os::PendingFile> write(const os::Place& final_place, const std::optional<Version>& older);
  const Archive& archive() const { return archive_; }
  const Packaging& packaging() const { return packaging_; }

private:
  void build(os::PendingFile& file, class LayerSource& source, const std::optional<Version>& older);
  std::unique_ptr<os::PendingFile> from_layers(const os::Place& final_place, const std::optional<Version>& older);
  void check_is_the_image(const std::string& config_digest, const Identity& identity) const;

  docker::Engine& engine_;
  const Share& share_;
  const docker::Image& image_;
  const std::string tag_;
  Options options_;
  Archive archive_;
  Packaging packaging_;
};

}  // namespace riverbox::environment
