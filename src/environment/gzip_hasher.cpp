#include "environment/gzip_hasher.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kBuffer = 128u << 10;

}  // namespace

bool is_gzip_bomb(std::uint64_t packed_bytes, std::uint64_t unpacked_bytes) {
  // Deflate packs at most 1032 : 1, so only a large layer can be a bomb. Below this nobody is bothered: layers of zeros are legal.
  constexpr std::uint64_t kAlwaysAllowed = 64ull << 30;
  constexpr std::uint64_t kMaxRatio = 300;
  return unpacked_bytes > std::max(kAlwaysAllowed, kMaxRatio * packed_bytes);
}

GzipHasher::GzipHasher() : buffer_(kBuffer, '\0') {
  if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw InternalError("cannot start zlib");
}

GzipHasher::~GzipHasher() { inflateEnd(&stream_); }

void GzipHasher::feed(std::string_view bytes) {
  in_bytes_ += bytes.size();
  stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream_.avail_in = static_cast<uInt>(bytes.size());
  while (!broken_ && (stream_.avail_in > 0 || stream_.avail_out == 0)) {
    if (ended_) {
      if (stream_.avail_in == 0) break;
      inflateReset(&stream_);
      ended_ = false;
    }
    stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_out = static_cast<uInt>(buffer_.size());
    const int rc = inflate(&stream_, Z_NO_FLUSH);
    const size_t made = buffer_.size() - stream_.avail_out;
    sha_.update({buffer_.data(), made});
    out_bytes_ += made;
    if (rc == Z_STREAM_END) ended_ = true;
    else if (rc == Z_BUF_ERROR) break;  // wants more input
    else if (rc != Z_OK) broken_ = true;
    if (is_gzip_bomb(in_bytes_, out_bytes_)) broken_ = true;
  }
}

}  // namespace riverbox::environment
