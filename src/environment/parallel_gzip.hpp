// gzip on all cores: every chunk becomes a gzip member of its own, and the members follow one another, which every reader takes for one stream. The
// same chunks give the same bytes, whatever the number of cores.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>

#include "environment/chunk.hpp"

namespace riverbox::environment {

class ParallelGzip {
public:
  // `take` gets what was packed, in order, on the thread of the caller; it may throw.
  using Take = std::function<void(std::string_view packed, std::uint64_t plain_bytes)>;
  explicit ParallelGzip(Take take);
  // Blocks while every core has a chunk.
  void push(ChunkPtr chunk);
  // Hands over what is left. Without any chunk: an empty stream.
  void finish();

private:
  struct Packed {
    std::string bytes;
    std::uint64_t plain_bytes = 0;
  };
  static Packed pack(std::string_view plain);
  void hand_over();

  Take take_;
  const size_t cores_;
  bool empty_ = true;
  std::deque<std::future<Packed>> packing_;
};

}  // namespace riverbox::environment
