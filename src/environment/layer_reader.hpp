// The entries of one layer inside an archive: a tar within the tar, plain or gzip. Of a plain layer only headers are read, and the data
// that somebody asks for. Nothing in it is trusted.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "environment/archive.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {

inline constexpr std::uint64_t kMaxLayerEntries = 5'000'000;

// What a header says. Numbers that cannot be read are 0: they are shown and compared, nothing depends on them.
struct LayerEntry {
  char type = '0';                // as in tar: '0' file, '1' hard link, '2' symlink, '3' '4' devices, '5' directory, '6' FIFO
  std::string path;               // normalised, never empty, no leading slash
  std::string link;               // of a symlink as written; of a hard link normalised
  std::uint64_t size_bytes = 0;
  std::uint32_t mode = 0, uid = 0, gid = 0, device_major = 0, device_minor = 0;
  std::int64_t modified = 0;      // unix seconds
};

class LayerVisitor {
public:
  virtual ~LayerVisitor() = default;
  // Something that the layer adds or changes. Returns how many of the first bytes of a file are wanted.
  virtual std::uint64_t entry(const LayerEntry& entry) = 0;
  virtual void content(const LayerEntry&, std::string) {}
  // ".wh.<name>": `path` of the layers below is gone, with everything in it.
  virtual void whiteout(const std::string& path) = 0;
  // ".wh..wh..opq": whatever the layers below have in `directory` is gone. "" is the root.
  virtual void opaque(const std::string& directory) = 0;
};

// Throws BadData (reason only) for a layer that is damaged, leads out of its root or is compressed in a way that is not read here.
void read_layer(int fd, const std::filesystem::path& path_for_message, const Layer& layer, LayerVisitor& visitor, const CancelToken& cancel);

}  // namespace riverbox::environment
