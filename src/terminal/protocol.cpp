#include "terminal/protocol.hpp"

namespace riverbox::terminal {
namespace {

std::uint32_t byte_at(std::string_view bytes, size_t i) { return static_cast<unsigned char>(bytes[i]); }

}  // namespace

std::string frame(Channel channel, std::string_view payload) {
  std::string out;
  out.reserve(payload.size() + 1);
  out.push_back(static_cast<char>(channel));
  out.append(payload);
  return out;
}

std::string frame_u32(Channel channel, std::uint32_t value) {
  const char bytes[] = {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
                        static_cast<char>(value)};
  return frame(channel, {bytes, sizeof bytes});
}

std::string frame_u64(Channel channel, std::uint64_t value, std::string_view payload) {
  std::string out = frame_u32(channel, static_cast<std::uint32_t>(value >> 32));
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out.append(payload);
}

std::string frame_size(std::uint16_t rows, std::uint16_t columns) {
  return frame_u32(Channel::resize, std::uint32_t{rows} << 16 | columns);
}

std::optional<std::uint32_t> Message::u32() const {
  if (payload.size() != 4) return std::nullopt;
  return byte_at(payload, 0) << 24 | byte_at(payload, 1) << 16 | byte_at(payload, 2) << 8 | byte_at(payload, 3);
}

std::optional<std::uint64_t> Message::u64() const {
  if (payload.size() < 8) return std::nullopt;
  std::uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | byte_at(payload, i);
  return value;
}

std::optional<std::pair<std::uint16_t, std::uint16_t>> Message::size() const {
  auto value = u32();
  if (!value) return std::nullopt;
  return std::pair(static_cast<std::uint16_t>(*value >> 16), static_cast<std::uint16_t>(*value & 0xffff));
}

std::optional<Message> parse(std::string_view data) {
  if (data.empty() || static_cast<unsigned char>(data[0]) > static_cast<unsigned char>(Channel::screen)) return std::nullopt;
  return Message{static_cast<Channel>(data[0]), data.substr(1)};
}

}  // namespace riverbox::terminal
