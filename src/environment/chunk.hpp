// A piece of a layer on its way to several who read it. Not zeroed before it is filled: a gigabyte of zeros costs as much as a third of a gigabyte read.
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>

namespace riverbox::environment {

struct Chunk {
  explicit Chunk(std::size_t capacity) : bytes(new char[capacity]) {}
  std::string_view view() const { return {bytes.get(), size}; }
  std::unique_ptr<char[]> bytes;
  std::size_t size = 0;
};
using ChunkPtr = std::shared_ptr<const Chunk>;

}  // namespace riverbox::environment
