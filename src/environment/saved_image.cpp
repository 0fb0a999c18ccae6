#include "environment/saved_image.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "environment/tar_format.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr std::uint64_t kRead = 1u << 20;

}  // namespace

SavedImage::SavedImage(docker::Engine& engine, const std::string& tag, const std::filesystem::path& final_path, const CancelToken& cancel,
                       const std::function<void(std::uint64_t size_bytes)>& report)
    : file_(std::make_unique<os::PendingFile>(final_path)), writer_(file_->fd(), file_->temporary_path()) {
  engine.save_image(tag, [&](std::string_view bytes) {
    cancel.check("packaging an environment");
    if (writer_.write(bytes)) report(writer_.size_bytes());
  }, cancel);
  archive_ = writer_.finish();
  for (const Layer& layer : archive_.layers) {
    if (!layer.compressed) continue;
    const std::string start = os::pread_exact(file_->fd(), static_cast<size_t>(std::min<std::uint64_t>(6, layer.size_bytes)),
                                              static_cast<off_t>(layer.offset), file_->temporary_path());
    readable_ &= compression_of(start) == "gzip";
  }
}

std::string SavedImage::config() {
  return os::pread_exact(file_->fd(), static_cast<size_t>(archive_.config.size_bytes), static_cast<off_t>(archive_.config.offset), file_->temporary_path());
}

void SavedImage::write_layer(size_t index, ByteSink& sink) {
  const Layer& layer = archive_.layers.at(index);
  if (layer.compressed) return inflate_layer(layer, sink);
  read_layer(layer, [&](std::string_view bytes) { sink.write(bytes); });
}

void SavedImage::read_layer(const Layer& layer, const std::function<void(std::string_view)>& take) {
  for (std::uint64_t at = 0; at < layer.size_bytes; at += kRead) {
    take(os::pread_exact(file_->fd(), static_cast<size_t>(std::min(kRead, layer.size_bytes - at)), static_cast<off_t>(layer.offset + at), file_->temporary_path()));
  }
}

// The verifier has inflated it once already: it is a valid stream of a bounded size.
void SavedImage::inflate_layer(const Layer& layer, ByteSink& sink) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw InternalError("cannot start zlib");
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> guard(&stream, inflateEnd);
  bool ended = false;
  read_layer(layer, [&](std::string_view bytes) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    for (bool full = true; stream.avail_in > 0 || full;) {
      if (std::exchange(ended, false)) inflateReset(&stream);  // several gzip members in a row are one stream
      const auto [at, room] = sink.space();
      stream.next_out = reinterpret_cast<Bytef*>(at);
      stream.avail_out = static_cast<uInt>(room);
      const int rc = inflate(&stream, Z_NO_FLUSH);
      if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) throw UnusableSource("a saved layer is no valid gzip stream");
      full = stream.avail_out == 0;
      sink.filled(room - stream.avail_out);
      ended = rc == Z_STREAM_END;
      if (ended && stream.avail_in == 0) return;
      if (rc == Z_BUF_ERROR) return;  // wants more input
    }
  });
}

}  // namespace riverbox::environment
