#include "terminal/json_text.hpp"

#include <array>

#include "base/strings.hpp"

namespace riverbox::terminal {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

enum Kind : unsigned char { plain, escaped, beyond_ascii };
constexpr std::array<Kind, 256> kKinds = [] {
  std::array<Kind, 256> kinds{};
  for (int c = 0; c < 256; ++c)
    kinds[c] = c >= 0x80 ? beyond_ascii : c < 0x20 || c == '"' || c == '\\' ? escaped : plain;
  return kinds;
}();

struct Sequence {
  size_t length;  // of the character, or of the longest part of one (Unicode 15, 3.9: one U+FFFD for each such part)
  bool valid;
};

Sequence utf8_sequence(std::string_view bytes) {
  auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  unsigned char lead = at(0), low = 0x80, high = 0xbf;  // range of the second byte: no overlong forms, surrogates, > U+10FFFF
  size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0) return {1, false};
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i, low = 0x80, high = 0xbf)
    if (i >= bytes.size() || at(i) < low || at(i) > high) return {i, false};
  return {length, true};
}

void append_escape(std::string& out, unsigned char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  const char text[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
  out.append(text, sizeof text);
}

void append_json_text(std::string& out, std::string_view bytes) {
  size_t begin = 0, at = 0;  // [begin, at) can be copied as it is
  auto copy = [&] { out.append(bytes.data() + begin, at - begin); };
  while (at < bytes.size()) {
    auto c = static_cast<unsigned char>(bytes[at]);
    if (kKinds[c] == plain) {
      ++at;
    } else if (kKinds[c] == escaped) {
      copy();
      append_escape(out, c);
      begin = ++at;
    } else if (auto sequence = utf8_sequence(bytes.substr(at)); sequence.valid) {
      at += sequence.length;
    } else {
      copy();
      out += kReplacement;
      begin = at += sequence.length;
    }
  }
  copy();
}

}  // namespace

std::string json_frame(std::string_view type, std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 8 + type.size() + 32);
  out += R"({"type":")";
  append_json_text(out, type);
  out += R"(","data":")";
  append_json_text(out, bytes);
  out += R"("})";
  return out;
}

std::string JsonStream::frame(std::string_view bytes) {
  std::string joined;
  if (!tail_.empty()) {
    joined = std::move(tail_);
    joined += bytes;
    bytes = joined;
  }
  size_t whole = complete_utf8_prefix(bytes);
  tail_ = bytes.substr(whole);
  return whole == 0 ? std::string() : json_frame(type_, bytes.substr(0, whole));
}

std::string JsonStream::flush() {
  std::string rest = std::move(tail_);
  tail_.clear();
  return rest.empty() ? rest : json_frame(type_, rest);
}

}  // namespace riverbox::terminal
