#include "terminal/scrollback.hpp"

#include <algorithm>
#include <optional>

namespace riverbox::terminal {

void Scrollback::append(std::string_view bytes) {
  while (!bytes.empty()) {
    if (blocks_.empty() || blocks_.back().bytes.size() == kBlockBytes) blocks_.push_back({screen_, {}});
    auto& block = blocks_.back().bytes;
    const auto now = bytes.substr(0, kBlockBytes - block.size());
    block.append(now);
    screen_.feed(now);
    end_ += now.size();
    bytes.remove_prefix(now.size());
  }
  while (end_ - begin_ >= kept_bytes_ + kBlockBytes) {
    begin_ += blocks_.front().bytes.size();
    blocks_.pop_front();
  }
}

std::string_view Scrollback::at(std::uint64_t from, size_t most) const {
  if (from >= end_) return {};
  const auto offset = static_cast<size_t>(from - begin_);
  return std::string_view(blocks_[offset / kBlockBytes].bytes).substr(offset % kBlockBytes, most);
}

ScreenState Scrollback::screen_at(std::uint64_t from) const {
  if (from >= end_) return screen_;
  const auto offset = static_cast<size_t>(from - begin_);
  const Block& block = blocks_[offset / kBlockBytes];
  ScreenState screen = block.before;
  screen.feed(std::string_view(block.bytes).substr(0, offset % kBlockBytes));
  return screen;
}

Scrollback::Start Scrollback::line_from(std::uint64_t from) const {
  Start start{from, screen_at(from)};
  if (from == 0) return start;
  const auto is_rest = [](const Start& s, char next) { return s.screen.at_rest() && (static_cast<unsigned char>(next) & 0xc0) != 0x80; };
  std::optional<Start> rest;
  for (char before = 0; start.at < std::min(end_, from + kBlockBytes); ++start.at) {
    const auto next = at(start.at, 1);
    if (before == '\n' && start.screen.at_rest()) return start;
    if (!rest && is_rest(start, next.front())) rest = start;
    before = next.front();
    start.screen.feed(next);
  }
  return rest.value_or(start);
}

}  // namespace riverbox::terminal
