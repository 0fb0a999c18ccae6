// The last bytes of what a shell has said, for who joins later. Memory only as it fills. Positions count from the shell's first byte.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "terminal/screen_state.hpp"

namespace riverbox::terminal {

class Scrollback {
public:
  // At least this much is kept, and at most a block more.
  explicit Scrollback(size_t kept_bytes) : kept_bytes_(kept_bytes) {}
  void append(std::string_view bytes);

  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }
  // What lies there, in one piece, at most `most` bytes; empty only at the end. begin() <= from <= end(). Valid until the next append().
  std::string_view at(std::uint64_t from, size_t most) const;

  // Where somebody may begin to read, and how the screen is there.
  struct Start {
    std::uint64_t at = 0;
    ScreenState screen;
  };
  // The next beginning of a line at or after `from` (within a block; where there is none, the next place outside of any sequence).
  Start line_from(std::uint64_t from) const;
  ScreenState screen_at(std::uint64_t from) const;
  const ScreenState& screen() const { return screen_; }  // at the end

private:
  struct Block {
    ScreenState before;
    std::string bytes;
  };
  static constexpr size_t kBlockBytes = 64 * 1024;

  const size_t kept_bytes_;
  std::deque<Block> blocks_;  // all but the last are full
  std::uint64_t begin_ = 0, end_ = 0;
  ScreenState screen_;
};

}  // namespace riverbox::terminal
