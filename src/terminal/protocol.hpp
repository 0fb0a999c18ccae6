// The frames of our own terminal dialect; docs/terminal-protocol.md is the specification.
// Sub-protocol "riverbox.terminal.v1". Every message is binary: one channel byte, then the payload.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace riverbox::terminal {

inline constexpr std::string_view kSubprotocol = "riverbox.terminal.v1";

enum class Channel : unsigned char {
  data = 0,      // client: input; server: output (stdout)
  error = 1,     // server: stderr of a session without terminal
  resize = 2,    // client: rows, columns as two big-endian uint16
  end = 3,       // client: no more input (half close)
  consumed = 4,  // both: big-endian uint32 bytes of the other side's stream taken since the last one (flow control)
  exit = 5,      // server: big-endian int32 exit status; the last message before close 1000
  failure = 6,   // server: UTF-8 text; the session could not be opened or broke; close 1008 or 1011 follows
  ready = 7,     // server: the shell runs; nothing came before. Of a shared session: its number, a big-endian uint64
  screen = 8,    // server: output of a shared session: how far of it has been shown with this, a big-endian uint64, and the bytes
};
inline constexpr std::uint32_t kWindowBytes = 512 * 1024;       // output in flight that the client has not consumed
// Input in flight that the shell has not taken. With it the server never has to stop reading the socket, so that acknowledgements
// and resizes get through while a large paste waits for the shell.
inline constexpr std::uint32_t kInputWindowBytes = 256 * 1024;

std::string frame(Channel channel, std::string_view payload = {});
std::string frame_u32(Channel channel, std::uint32_t value);
std::string frame_u64(Channel channel, std::uint64_t value, std::string_view payload = {});
std::string frame_size(std::uint16_t rows, std::uint16_t columns);
struct Message {
  Channel channel;
  std::string_view payload;
  std::optional<std::uint32_t> u32() const;
  std::optional<std::uint64_t> u64() const;  // of the first eight bytes
  std::optional<std::pair<std::uint16_t, std::uint16_t>> size() const;
};
std::optional<Message> parse(std::string_view data);  // nullopt: not a message of this protocol

}  // namespace riverbox::terminal
