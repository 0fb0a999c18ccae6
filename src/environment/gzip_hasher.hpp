// SHA-256 of what a gzip stream holds, without keeping it.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/sha256.hpp"

namespace riverbox::environment {

// Whether a gzip stream has grown beyond what an honest layer can be.
bool is_gzip_bomb(std::uint64_t packed_bytes, std::uint64_t unpacked_bytes);

class GzipHasher {
public:
  GzipHasher();
  ~GzipHasher();
  GzipHasher(const GzipHasher&) = delete;
  GzipHasher& operator=(const GzipHasher&) = delete;
  // Several gzip members in a row are one stream, as Go reads them. Never throws on bad data: ok() says it at the end.
  void feed(std::string_view bytes);
  // Complete, and nothing but gzip.
  bool ok() const { return !broken_ && ended_; }
  std::string finish() { return sha_.finish().str(); }

private:
  z_stream stream_{};
  Sha256 sha_;
  std::string buffer_;
  std::uint64_t in_bytes_ = 0, out_bytes_ = 0;
  bool ended_ = false, broken_ = false;
};

}  // namespace riverbox::environment
