#include "environment/parallel_gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <thread>

#include "base/error.hpp"

namespace riverbox::environment {
namespace {

constexpr int kLevel = 3;  // beyond it the processor, not the share, is what one waits for
constexpr unsigned kMaxCores = 16;

}  // namespace

ParallelGzip::ParallelGzip(Take take) : take_(std::move(take)), cores_(std::clamp(std::thread::hardware_concurrency(), 1u, kMaxCores)) {}

void ParallelGzip::push(ChunkPtr chunk) {
  empty_ = false;
  if (packing_.size() >= cores_) hand_over();
  packing_.push_back(std::async(std::launch::async, [chunk = std::move(chunk)] { return pack(chunk->view()); }));
}

void ParallelGzip::finish() {
  while (!packing_.empty()) hand_over();
  if (empty_) take_(pack({}).bytes, 0);
}

void ParallelGzip::hand_over() {
  const Packed packed = packing_.front().get();
  packing_.pop_front();
  take_(packed.bytes, packed.plain_bytes);
}

ParallelGzip::Packed ParallelGzip::pack(std::string_view plain) {
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw InternalError("cannot start zlib");
  const std::unique_ptr<z_stream, decltype(&deflateEnd)> guard(&stream, deflateEnd);
  Packed out{std::string(deflateBound(&stream, plain.size()), '\0'), plain.size()};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.bytes.data());
  stream.avail_out = static_cast<uInt>(out.bytes.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw InternalError("zlib did not take a chunk");
  out.bytes.resize(stream.total_out);
  return out;
}

}  // namespace riverbox::environment
