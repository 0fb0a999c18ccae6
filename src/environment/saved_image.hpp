// An image as the engine itself saves it, whatever its store: the way that always works, at three times the writing.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "environment/archive_writer.hpp"
#include "environment/layer_source.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {

class SavedImage final : public LayerSource {
public:
  // Blocking, long: the engine writes all layers to a folder of its own before the first byte. What comes is spooled to a hidden file beside
  // `final_place` and checked on the way. Throws docker::ImageExportError, IoError, BadData, Cancelled, and what `report` throws.
  SavedImage(docker::Engine& engine, const std::string& tag, const os::Place& final_place, const CancelToken& cancel,
             const std::function<void(std::uint64_t size_bytes)>& report);
  const Archive& archive() const { return archive_; }
  // False: it has layers in a compression that is not read here. It can only be published as it is.
  bool readable() const { return readable_; }
  std::unique_ptr<os::PendingFile> release_file() { return std::move(file_); }

  std::string config() override;
  void write_layer(size_t index, ByteSink& sink) override;

private:
  std::unique_ptr<os::PendingFile> file_;
  ArchiveWriter writer_;
  Archive archive_;
  bool readable_ = true;
};

}  // namespace riverbox::environment
