// Any bytes as an archive: the reader and the streaming verifier refuse with BadData or agree.
#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.hpp"
#include "environment/archive.hpp"
#include "environment/tar_format.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

std::optional<Archive> verified(std::string_view bytes, std::size_t chunk) {
  try {
    ArchiveVerifier verifier;
    for (std::size_t at = 0; at < bytes.size(); at += chunk) verifier.feed(bytes.substr(at, chunk));
    return verifier.finish();
  } catch (const BadData&) {
    return std::nullopt;
  }
}

std::optional<Archive> read_headers(std::string_view bytes) {
  try {
    const MemoryFile file(bytes);
    return read_archive(file.fd(), "fuzz");
  } catch (const BadData&) {
    return std::nullopt;
  }
}

bool same(const Archive& a, const Archive& b) {
  return a.identity == b.identity && a.config_digest == b.config_digest && a.repo_tags == b.repo_tags && a.size_bytes == b.size_bytes &&
         a.manifest_digest == b.manifest_digest && a.config.offset == b.config.offset && a.manifest.offset == b.manifest.offset &&
         std::equal(a.layers.begin(), a.layers.end(), b.layers.begin(), b.layers.end(), [](const Layer& x, const Layer& y) {
           return x.member == y.member && x.offset == y.offset && x.size_bytes == y.size_bytes && x.compressed == y.compressed;
         });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = verified(bytes, std::max<std::size_t>(size, 1));
  const auto pieces = verified(bytes, 1 + size % 701);
  const auto headers = read_headers(bytes);
  MUST_HOLD(whole.has_value() == pieces.has_value());
  if (whole) {
    MUST_HOLD(same(*whole, *pieces));
    MUST_HOLD(headers && same(*whole, *headers));
  }
  if (headers) {
    for (const Layer& layer : headers->layers) MUST_HOLD(layer.offset <= size && layer.size_bytes <= size - layer.offset);
  }
  return 0;
}

#ifdef RIVERBOX_LIBFUZZER
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

// Random changes almost never keep a header's checksum: mend them, or nothing behind it is ever reached.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned) {
  size = LLVMFuzzerMutate(data, size, max_size);
  for (std::size_t at = 0; at + kTarBlock <= size; at += kTarBlock) {
    std::uint8_t* block = data + at;
    if (std::memcmp(block + 257, "ustar", 5) != 0) continue;
    std::memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (std::size_t i = 0; i < kTarBlock; ++i) sum += block[i];
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    std::memcpy(block + 148, text, 7);
  }
  return size;
}
#endif
