// Where the bytes of an image come from when an archive of it is written.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/error.hpp"
#include "docker/engine.hpp"

namespace riverbox::environment {

// The source does not give what it should: another one may.
RIVERBOX_ERROR(UnusableSource, bad_data);

// Takes bytes in large pieces without copying them once more: fill space(), then say how much of it.
class ByteSink {
public:
  virtual ~ByteSink() = default;
  virtual std::pair<char*, size_t> space() = 0;  // at least one byte
  virtual void filled(size_t size) = 0;
  void write(std::string_view bytes);
};

// Blocking; one thread at a time.
class LayerSource {
public:
  virtual ~LayerSource() = default;
  // The image's config, byte for byte: its digest is the image's identity. Throws UnusableSource.
  virtual std::string config() = 0;
  // The uncompressed tar of layer `index`, in chain order. Nobody has checked the digest. Throws UnusableSource, and what the sink throws.
  virtual void write_layer(size_t index, ByteSink& sink) = 0;
};

// The files of the overlay2 graph driver on this machine, without any work for the engine. Null, and `why_not` says why: another driver, a
// daemon on another machine, no permission. The engine is asked once; then only files are read.
std::unique_ptr<LayerSource> open_overlay_layers(docker::Engine& engine, const docker::Image& image, std::string& why_not);

}  // namespace riverbox::environment
