// The tar of a layer as a stream of bytes, whatever way it is stored in the archive.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "environment/archive.hpp"

namespace riverbox::environment {

class LayerBytes {
public:
  virtual ~LayerBytes() = default;
  // Up to `size` bytes, fewer only at the end. Throws BadData (reason only), IoError.
  virtual std::string read(size_t size) = 0;
  // False: the layer ends before.
  virtual bool skip(std::uint64_t size) = 0;
};

// Plain or gzip. Throws BadData for any other compression.
std::unique_ptr<LayerBytes> open_layer(int fd, const std::filesystem::path& path_for_message, const Layer& layer);

// What the first bytes say.
bool is_gzip(int fd, const std::filesystem::path& path_for_message, const Layer& layer);

}  // namespace riverbox::environment
