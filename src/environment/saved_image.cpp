#include "environment/saved_image.hpp"

#include "base/error.hpp"
#include "environment/layer_bytes.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kRead = 1u << 20;

}  // namespace

SavedImage::SavedImage(docker::Engine& engine, const std::string& tag, const os::Place& final_place, const CancelToken& cancel,
                       const std::function<void(std::uint64_t size_bytes)>& report)
    : file_(std::make_unique<os::PendingFile>(final_place)), writer_(file_->fd(), file_->temporary_path()) {
  engine.save_image(tag, [&](std::string_view bytes) {
    cancel.check("packaging an environment");
    if (writer_.write(bytes)) report(writer_.size_bytes());
  }, cancel);
  archive_ = writer_.finish();
  for (const Layer& layer : archive_.layers) {
    try {
      if (layer.compressed) open_layer(file_->fd(), file_->temporary_path(), layer);
    } catch (const BadData&) {
      readable_ = false;
    }
  }
}

std::string SavedImage::config() {
  return os::pread_exact(file_->fd(), static_cast<size_t>(archive_.config.size_bytes), static_cast<off_t>(archive_.config.offset), file_->temporary_path());
}

void SavedImage::write_layer(size_t index, ByteSink& sink) {
  const auto bytes = open_layer(file_->fd(), file_->temporary_path(), archive_.layers.at(index));
  for (std::string some = bytes->read(kRead); !some.empty(); some = bytes->read(kRead)) sink.write(some);
}

}  // namespace riverbox::environment
