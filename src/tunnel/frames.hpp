// The messages of a tunnel, in the classic dialect and in riverbox.tunnel.v1 (docs/tunnel-protocol.md). Pure.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::tunnel {

enum class Type : std::uint8_t {
  connect = 1,
  connected = 2,
  data = 3,
  close = 4,
  error = 5,
  ping = 6,
  pong = 7,
  // riverbox.tunnel.v1 only
  hello = 16,
  window = 17,
  eof = 18,
  listen = 19,
  listening = 20,
  unlisten = 21,
  accept = 22,
};
enum class Proto : std::uint8_t { tcp = 0, udp = 1 };

inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kMaxPayloadBytes = 65536;  // what the classic sender reads at once; a datagram is shorter
inline constexpr std::size_t kMaxMessageBytes = kHeaderBytes + kMaxPayloadBytes;
inline constexpr std::size_t kLengthBytes = 4;  // before each message on a byte stream
inline constexpr std::size_t kMaxErrorBytes = 1000;
inline constexpr std::string_view kSubprotocol = "riverbox.tunnel.v1";

struct Message {
  Type type = Type::ping;  // may be one that is not listed above
  Proto proto = Proto::tcp;
  std::uint32_t id = 0;    // of the stream; 0: the tunnel itself
  std::uint16_t port = 0;
  std::string_view payload;
};

// nullopt: too short or too long for a message, or a proto that there is not. An unknown type is a message.
std::optional<Message> parse(std::string_view bytes);
std::array<char, kHeaderBytes> header_of(const Message& message);
std::string encode(const Message& message);
// As it stands on a byte stream: the length, then the message.
void append_framed(std::string& out, const Message& message);

// The payload of HELLO. Whoever says more than we know is understood as far as we know.
struct Hello {
  std::uint16_t version = 1;
  std::uint16_t flags = 0;                     // none yet: sent as 0, ignored
  std::uint32_t window = 256 << 10;            // bytes that the other side may send on a new stream before it gets more
  std::uint32_t max_streams = 1024;            // at once, however they began
};
std::string encode(const Hello& hello);
std::optional<Hello> parse_hello(std::string_view payload);  // nullopt: too short, or no version

std::string encode_u32(std::uint32_t number);                      // the payload of WINDOW and ACCEPT
std::optional<std::uint32_t> parse_u32(std::string_view payload);  // nullopt: not four bytes

// A text that goes into ERROR, and one that came in it: UTF-8, bounded, safe to print.
std::string error_text(std::string_view text);

// Cuts a byte stream into messages.
class Unframer {
public:
  // Hands out each message that is complete; what is not yet is kept. False: a length that no message has, the stream makes no sense from here on.
  // When `take` returns false, the rest waits for resume().
  bool feed(std::string_view bytes, const std::function<bool(std::string_view)>& take);
  bool resume(const std::function<bool(std::string_view)>& take) { return feed({}, take); }
  std::size_t kept_bytes() const { return rest_.size(); }

private:
  std::string rest_;
};

}  // namespace riverbox::tunnel
