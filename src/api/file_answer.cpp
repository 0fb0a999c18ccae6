#include "api/file_answer.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "os/fd.hpp"

namespace riverbox::api {
namespace {

constexpr std::uint64_t kChunkBytes = 128 * 1024;

}  // namespace

net::Response with_range(net::Response head, const net::RangeWish& wish, std::uint64_t whole_bytes) {
  head.headers.emplace_back("Accept-Ranges", "bytes");
  head.headers.emplace_back("Content-Length", std::to_string(wish.size_bytes));
  if (wish.kind == net::RangeWish::Kind::part) {
    head.status = 206;
    head.headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}", wish.offset, wish.offset + wish.size_bytes - 1, whole_bytes));
  }
  return head;
}

net::Response nothing_at_range(net::Response refusal, std::uint64_t whole_bytes) {
  refusal.headers.emplace_back("Content-Range", fmt::format("bytes */{}", whole_bytes));
  return refusal;
}

void send_part_of_file(const CallPtr& call, net::Response head, int fd, const std::filesystem::path& path, std::uint64_t offset, std::uint64_t size_bytes) {
  posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(size_bytes), POSIX_FADV_SEQUENTIAL);
  call->responder->stream(std::move(head), [&](net::BodyWriter& writer) {
    const std::uint64_t end = offset + size_bytes;
    for (std::uint64_t at = offset; at < end; at += kChunkBytes)
      writer.write(os::pread_exact(fd, static_cast<size_t>(std::min(kChunkBytes, end - at)), static_cast<off_t>(at), path));
  });
}

}  // namespace riverbox::api
