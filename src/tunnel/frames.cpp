#include "tunnel/frames.hpp"

#include <algorithm>
#include <utility>

#include "base/strings.hpp"

namespace riverbox::tunnel {

namespace {

template <class Number>
void put(char* at, Number number) {
  for (std::size_t i = sizeof number; i-- > 0; number = static_cast<Number>(number >> 8)) at[i] = static_cast<char>(number & 0xff);
}

template <class Number>
Number get(std::string_view bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number = static_cast<Number>(number << 8 | static_cast<unsigned char>(bytes[at + i]));
  return number;
}

constexpr std::size_t kHelloBytes = 12;

// Of a message at the beginning of `bytes`: its length, 0 when that is not there yet, nullopt when no message is so long.
std::optional<std::size_t> framed_length(std::string_view bytes) {
  if (bytes.size() < kLengthBytes) return 0;
  const auto length = get<std::uint32_t>(bytes, 0);
  if (length < kHeaderBytes || length > kMaxMessageBytes) return std::nullopt;
  return length;
}

}  // namespace

std::optional<Message> parse(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || bytes.size() > kMaxMessageBytes) return std::nullopt;
  const auto proto = static_cast<unsigned char>(bytes[1]);
  if (proto > 1) return std::nullopt;
  return Message{static_cast<Type>(bytes[0]), static_cast<Proto>(proto), get<std::uint32_t>(bytes, 2), get<std::uint16_t>(bytes, 6), bytes.substr(kHeaderBytes)};
}

std::array<char, kHeaderBytes> header_of(const Message& message) {
  std::array<char, kHeaderBytes> header;
  header[0] = static_cast<char>(message.type);
  header[1] = static_cast<char>(message.proto);
  put(header.data() + 2, message.id);
  put(header.data() + 6, message.port);
  return header;
}

std::string encode(const Message& message) {
  const auto header = header_of(message);
  std::string bytes;
  bytes.reserve(kHeaderBytes + message.payload.size());
  bytes.append(header.data(), header.size()).append(message.payload);
  return bytes;
}

void append_framed(std::string& out, const Message& message) {
  out += encode_u32(static_cast<std::uint32_t>(kHeaderBytes + message.payload.size()));
  const auto header = header_of(message);
  out.append(header.data(), header.size()).append(message.payload);
}

std::string encode(const Hello& hello) {
  std::string payload(kHelloBytes, '\0');
  put(payload.data(), hello.version);
  put(payload.data() + 2, hello.flags);
  put(payload.data() + 4, hello.window);
  put(payload.data() + 8, hello.max_streams);
  return payload;
}

std::optional<Hello> parse_hello(std::string_view payload) {
  if (payload.size() < kHelloBytes) return std::nullopt;
  const Hello hello{get<std::uint16_t>(payload, 0), get<std::uint16_t>(payload, 2), get<std::uint32_t>(payload, 4), get<std::uint32_t>(payload, 8)};
  if (hello.version == 0) return std::nullopt;
  return hello;
}

std::string encode_u32(std::uint32_t number) {
  std::string payload(sizeof number, '\0');
  put(payload.data(), number);
  return payload;
}

std::optional<std::uint32_t> parse_u32(std::string_view payload) {
  if (payload.size() != sizeof(std::uint32_t)) return std::nullopt;
  return get<std::uint32_t>(payload, 0);
}

std::string error_text(std::string_view text) { return printable(text, kMaxErrorBytes); }

bool Unframer::feed(std::string_view bytes, const std::function<bool(std::string_view)>& take) {
  std::string kept;
  // A message that was begun is completed first, and only it is copied.
  while (!rest_.empty()) {
    const auto length = framed_length(rest_);
    if (!length) return false;
    const std::size_t wanted = kLengthBytes + *length;
    if (rest_.size() >= wanted && *length > 0) {  // it is whole, and more may be there: what was left when `take` wanted no more
      kept = std::exchange(rest_, {});
      kept.append(bytes);
      bytes = kept;
      break;
    }
    const std::size_t missing = std::min(wanted - rest_.size(), bytes.size());
    if (missing == 0) return true;
    rest_.reserve(wanted);
    rest_.append(bytes.substr(0, missing));
    bytes.remove_prefix(missing);
    if (rest_.size() < wanted) return true;
    if (*length == 0) continue;  // now the length is known
    kept = std::exchange(rest_, {});
    if (!take(std::string_view(kept).substr(kLengthBytes))) {
      rest_ = bytes;
      return true;
    }
  }
  while (!bytes.empty()) {
    const auto length = framed_length(bytes);
    if (!length) return false;
    if (*length == 0 || bytes.size() < kLengthBytes + *length) break;
    const std::string_view message = bytes.substr(kLengthBytes, *length);
    bytes.remove_prefix(kLengthBytes + *length);
    if (!take(message)) break;
  }
  rest_ = bytes;
  return true;
}

}  // namespace riverbox::tunnel
