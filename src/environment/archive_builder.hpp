// Writes an archive in the one form that every engine and store loads, whole or thin (docs/archive-format.md): layer blobs in chain order, config, OCI
// manifest, index.json, oci-layout, manifest.json. Two versions with the same first layers begin with the same bytes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "environment/archive.hpp"
#include "environment/hash_pipe.hpp"
#include "environment/layer_source.hpp"
#include "os/write_back.hpp"

namespace riverbox::environment {

// Of layers that are written. Those that are taken over stay as they are.
enum class Compression { none, gzip };

class ArchiveBuilder {
public:
  // `fd` is open for reading and writing, empty, and outlives the builder; `path` is for messages. `report` is told the size so far
  // every few MB (of the layers as they are in the image) and may throw to end the work.
  ArchiveBuilder(int fd, std::filesystem::path path, Compression compression, std::function<void(std::uint64_t size_bytes)> report);
  ~ArchiveBuilder();
  // First of all: the leading layers that an older archive of this form begins with are taken over as they are, without reading them where the file
  // system shares extents or copies on the server. Returns how many of `diff_ids` that were. After an error it is as if it had not been called.
  size_t take_over(const os::Place& older_place, const Archive& older, const std::vector<std::string>& diff_ids);
  // The next layer. A layer that is there already is not written twice. Throws UnusableSource when its bytes have another digest.
  void add_layer(const std::string& diff_id, LayerSource& source, size_t index);
  // The same for a layer that nobody has named yet. Returns its diff ID.
  std::string add_new_layer(LayerSource& source, size_t index);
  // Everything else. `tag` is what a load sets. Not yet durable: os::PendingFile::publish() does that.
  Archive finish(std::string_view config, const std::vector<std::string>& diff_ids, const std::string& tag);
  std::uint64_t size_bytes() const { return size_bytes_; }

private:
  // A layer as it is in the file.
  struct Blob {
    std::string digest;
    std::uint64_t size_bytes = 0;
    bool gzip = false;
  };
  class LayerSink;
  size_t copy_leading_layers(const os::Place& older_place, const Archive& older, const std::vector<std::string>& diff_ids);
  void add_blob(std::string_view name, std::string_view bytes);
  void advance(std::uint64_t end);

  int fd_;
  std::filesystem::path path_;
  std::function<void(std::uint64_t)> report_;
  HashPipe hash_;
  const Compression compression_;
  std::map<std::string, Blob> layers_;  // by diff ID
  std::uint64_t size_bytes_ = 0, told_bytes_ = 0;
  std::uint64_t saved_bytes_ = 0;       // by compression
  os::WriteBack write_back_;
};

}  // namespace riverbox::environment
