// Layers as the overlay2 graph driver keeps them: the files below overlay2/<cache id>/diff, and the record of their tar beside.
// Layout: moby, layer/filestore.go and image/fs.go; unchanged from 1.10 to 28.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "environment/layer_record.hpp"
#include "environment/layer_source.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {

void ByteSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto [at, room] = space();
    const size_t n = std::min(room, bytes.size());
    bytes.copy(at, n);
    filled(n);
    bytes.remove_prefix(n);
  }
}

namespace {

constexpr size_t kMaxConfigBytes = 16u << 20;

// chain(0) = diff(0), chain(n) = sha256("chain(n-1) diff(n)"). OCI image spec, config.md, "Layer ChainID".
std::vector<std::string> chain_of(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id : Sha256::of(chain.back() + " " + diff_id).str());
  }
  return chain;
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

class OverlayLayers final : public LayerSource {
public:
  OverlayLayers(std::filesystem::path root, const docker::Image& image)
      : root_(std::move(root)), image_id_(Digest::parse(image.id)), chain_(chain_of(image.diff_ids)) {}

  // The config is under the name of its own digest: when that fits, these are the files of the daemon that we talk to.
  std::string config() override {
    const std::string bytes = read(root_ / "image/overlay2/imagedb/content/sha256" / image_id_.hex(), kMaxConfigBytes);
    if (Sha256::of(bytes) != image_id_) throw UnusableSource("the image's config below Docker's data root has another digest");
    return bytes;
  }

  void write_layer(size_t index, ByteSink& sink) override {
    const std::filesystem::path record = root_ / "image/overlay2/layerdb/sha256" / Digest::parse(chain_.at(index)).hex();
    const std::string cache_id(trim(read(record / "cache-id", 256)));
    if (cache_id.empty() || !is_hex(cache_id)) throw UnusableSource("a layer below Docker's data root has no cache ID");
    const os::UniqueFd files(::open((root_ / "overlay2" / cache_id / "diff").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!files) throw unreadable(root_ / "overlay2" / cache_id / "diff", errno);
    LayerRecord entries(record / "tar-split.json.gz");
    for (auto batch = next(entries); !batch.empty(); batch = next(entries)) {
      for (const auto& [text, file_bytes] : batch) file_bytes > 0 ? copy_file(files.get(), text, file_bytes, sink) : sink.write(text);
    }
  }

private:
  static UnusableSource unreadable(const std::filesystem::path& path, int error) {
    return UnusableSource(fmt::format("'{}' below Docker's data root cannot be read: {}", path.filename().string(), std::string(strerror(error))));
  }

  static std::string read(const std::filesystem::path& path, size_t max_bytes) {
    try {
      return os::read_file(path, max_bytes);
    } catch (const IoError& error) {
      throw unreadable(path, error.error_number());
    }
  }

  static LayerRecord::Entries next(LayerRecord& record) {
    try {
      return record.next();
    } catch (const IoError& error) {
      throw unreadable("tar-split.json.gz", error.error_number());
    } catch (const BadData& error) {
      throw UnusableSource(error.fact());
    }
  }

  // A name that a link leads elsewhere gives other bytes than the layer's digest promises, and the caller compares that.
  static void copy_file(int folder, const std::string& path, std::uint64_t size_bytes, ByteSink& sink) {
    const char* relative = path.c_str();
    while (*relative == '/') ++relative;
    constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    os::UniqueFd fd(::openat(folder, relative, kFlags | O_NOATIME));
    if (!fd && errno == EPERM) fd.reset(::openat(folder, relative, kFlags));  // O_NOATIME is for owners
    if (!fd) throw unreadable(path, errno);
    while (size_bytes > 0) {
      const auto [at, room] = sink.space();
      const ssize_t n = ::read(fd.get(), at, static_cast<size_t>(std::min<std::uint64_t>(room, size_bytes)));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw unreadable(path, errno);
      if (n == 0) throw UnusableSource(fmt::format("'{}' in a layer is shorter than its record says", printable(path, 100)));
      sink.filled(static_cast<size_t>(n));
      size_bytes -= static_cast<std::uint64_t>(n);
    }
  }

  std::filesystem::path root_;
  Digest image_id_;
  std::vector<std::string> chain_;
};

}  // namespace

std::unique_ptr<LayerSource> open_overlay_layers(docker::Engine& engine, const docker::Image& image, std::string& why_not) {
  if (!engine.endpoint().host.starts_with("unix://")) why_not = "the Docker daemon is reached over the network";
  else if (const docker::StoreInfo store = engine.store(); store.containerd) why_not = "the Docker daemon has a containerd image store";
  else if (store.driver != "overlay2") why_not = fmt::format("the Docker daemon's storage driver is {}", printable(store.driver, 40));
  else if (::access((store.data_root + "/image/overlay2/layerdb/sha256").c_str(), R_OK | X_OK) != 0)
    why_not = fmt::format("Docker's data root cannot be read: {}", std::string(strerror(errno)));
  else return std::make_unique<OverlayLayers>(store.data_root, image);
  return nullptr;
}

}  // namespace riverbox::environment
