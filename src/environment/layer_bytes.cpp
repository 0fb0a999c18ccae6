#include "environment/layer_bytes.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "base/error.hpp"
#include "environment/gzip_hasher.hpp"
#include "environment/tar_format.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kSmallRead = 4u << 10, kLargeRead = 128u << 10;

// The bytes of the layer's member in the archive.
class PlainBytes : public LayerBytes {
public:
  PlainBytes(int fd, const std::filesystem::path& path, const Layer& layer)
      : fd_(fd), path_(path), at_(layer.offset), end_(layer.offset + layer.size_bytes) {}

  std::string read(size_t size) override {
    std::string out;
    while (out.size() < size) {
      if (used_ == buffer_.size() && !fill()) break;
      const size_t n = std::min(size - out.size(), buffer_.size() - used_);
      out.append(buffer_, used_, n);
      used_ += n;
    }
    return out;
  }

  bool skip(std::uint64_t size) override {
    const size_t n = static_cast<size_t>(std::min<std::uint64_t>(size, buffer_.size() - used_));
    used_ += n;
    size -= n;
    if (size == 0) return true;
    if (size > end_ - at_) return false;
    at_ += size;
    next_read_ = kSmallRead;  // after a jump: likely a header before another large file
    return true;
  }

private:
  bool fill() {
    const size_t n = static_cast<size_t>(std::min<std::uint64_t>(next_read_, end_ - at_));
    if (n == 0) return false;
    buffer_ = os::pread_exact(fd_, n, static_cast<off_t>(at_), path_);
    at_ += n;
    used_ = 0;
    next_read_ = std::min(2 * next_read_, kLargeRead);
    return true;
  }

  int fd_;
  std::filesystem::path path_;
  std::uint64_t at_, end_;  // of what is not in the buffer yet
  std::string buffer_;
  size_t used_ = 0, next_read_ = kSmallRead;
};

class GzipBytes : public LayerBytes {
public:
  explicit GzipBytes(std::unique_ptr<PlainBytes> packed) : packed_(std::move(packed)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw InternalError("cannot start zlib");
  }
  ~GzipBytes() override { inflateEnd(&stream_); }
  GzipBytes(const GzipBytes&) = delete;
  GzipBytes& operator=(const GzipBytes&) = delete;

  std::string read(size_t size) override {
    std::string out(size, '\0');
    out.resize(inflate_into(out.data(), size));
    return out;
  }

  bool skip(std::uint64_t size) override {
    if (waste_.empty()) waste_.resize(kLargeRead);
    while (size > 0) {
      const size_t n = inflate_into(waste_.data(), static_cast<size_t>(std::min<std::uint64_t>(size, waste_.size())));
      if (n == 0) return false;
      size -= n;
    }
    return true;
  }

private:
  // Fewer bytes than asked for only at the end of the stream.
  size_t inflate_into(char* target, size_t size) {
    stream_.next_out = reinterpret_cast<Bytef*>(target);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !refill()) {
        if (!between_members_) throw BadData("its gzip stream is truncated");
        break;
      }
      if (between_members_) {  // several gzip members in a row are one stream, as Go reads them
        inflateReset(&stream_);
        between_members_ = false;
      }
      const int rc = inflate(&stream_, Z_NO_FLUSH);
      if (rc == Z_STREAM_END) between_members_ = true;
      else if (rc != Z_OK && rc != Z_BUF_ERROR) throw BadData("its gzip stream is damaged");
    }
    const size_t made = size - stream_.avail_out;
    out_bytes_ += made;
    if (is_gzip_bomb(in_bytes_, out_bytes_)) throw BadData("its gzip stream is absurdly large");
    return made;
  }

  bool refill() {
    input_ = packed_->read(kLargeRead);
    in_bytes_ += input_.size();
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(input_.size());
    return !input_.empty();
  }

  std::unique_ptr<PlainBytes> packed_;
  z_stream stream_{};
  std::string input_, waste_;
  std::uint64_t in_bytes_ = 0, out_bytes_ = 0;
  bool between_members_ = false;
};

std::optional<std::string_view> compression_of_layer(int fd, const std::filesystem::path& path, const Layer& layer) {
  const size_t n = static_cast<size_t>(std::min<std::uint64_t>(6, layer.size_bytes));
  return compression_of(os::pread_exact(fd, n, static_cast<off_t>(layer.offset), path));
}

}  // namespace

bool is_gzip(int fd, const std::filesystem::path& path_for_message, const Layer& layer) { return compression_of_layer(fd, path_for_message, layer) == "gzip"; }

std::unique_ptr<LayerBytes> open_layer(int fd, const std::filesystem::path& path_for_message, const Layer& layer) {
  const auto compression = compression_of_layer(fd, path_for_message, layer);
  auto plain = std::make_unique<PlainBytes>(fd, path_for_message, layer);
  if (!compression) return plain;
  if (*compression == "gzip") return std::make_unique<GzipBytes>(std::move(plain));
  throw BadData(fmt::format("it is compressed with {}, which can be loaded but not looked into", *compression));
}

}  // namespace riverbox::environment
