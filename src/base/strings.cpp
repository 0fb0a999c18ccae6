#include "base/strings.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.hpp"

namespace riverbox {
namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }
constexpr bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// What one look at the front of `bytes` says about UTF-8 (RFC 3629: no overlong forms, no surrogates).
struct Sequence {
  size_t length = 0;       // bytes of the sequence if valid; else of the invalid stretch to skip
  char32_t code_point = 0;
  bool valid = false;
  bool truncated = false;  // a correct beginning that more bytes could complete
};

Sequence next_sequence(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, lead, true, false};
  size_t length = 0;
  unsigned char low = 0x80, high = 0xBF;  // of the second byte
  char32_t code_point = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2, code_point = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3, code_point = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, code_point = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, 0, false, false};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i >= bytes.size()) return {i, 0, false, true};
    if (at(i) < low || at(i) > high) return {i, 0, false, false};
    low = 0x80, high = 0xBF;
    code_point = (code_point << 6) | (at(i) & 0x3F);
  }
  return {length, code_point, true, false};
}

// Characters that move the cursor, hide or reorder text.
bool is_dangerous(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

// Optimal string alignment distance; a case difference costs nothing, a swap of neighbours costs one.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, previous(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = previous[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = previous;
    previous = row;
  }
  return previous[b.size()];
}

template <typename Integer>
std::optional<Integer> parse_integer(std::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return std::nullopt;
}

}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i) joined += separator;
    joined += parts[i];
  }
  return joined;
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // Two slips in a long word are a typing error; in a short one they are another word.
  const size_t allowed = word.size() < 4 ? 1 : word.size() < 8 ? 2 : 3;
  const std::string* best = nullptr;
  size_t best_distance = allowed + 1;
  for (const std::string& candidate : candidates) {
    const size_t difference = word.size() > candidate.size() ? word.size() - candidate.size() : candidate.size() - word.size();
    if (difference >= best_distance) continue;
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < std::max<size_t>(word.size(), 1)) best = &candidate, best_distance = distance;
  }
  return best ? std::optional(*best) : std::nullopt;
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Sequence sequence = next_sequence(text.substr(i));
    std::string piece;
    if (sequence.valid && !is_dangerous(sequence.code_point)) {
      piece = text.substr(i, sequence.length);
    } else {
      for (const char c : text.substr(i, sequence.length)) piece += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (out.size() + piece.size() > max_bytes) return out + "...";
    out += piece;
    i += sequence.length;
  }
  return out;
}

std::string shell_quoted(std::string_view word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return is_alnum(c) || std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') quoted += "'\\''";
    else quoted += c;
  }
  return quoted + "'";
}

size_t complete_utf8_prefix(std::string_view bytes) {
  for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
    const size_t start = bytes.size() - back;
    if ((static_cast<unsigned char>(bytes[start]) & 0xC0) == 0x80) continue;  // inside a sequence: look further back
    return next_sequence(bytes.substr(start)).truncated ? start : bytes.size();
  }
  return bytes.size();
}

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Sequence sequence = next_sequence(bytes);
    if (sequence.valid) out += bytes.substr(0, sequence.length);
    else out += "\xEF\xBF\xBD";
    bytes.remove_prefix(sequence.length);
  }
  return out;
}

std::string human_bytes(unsigned long long bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr std::array kUnits{"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) value /= 1000, ++unit;  // 999.95 would print as 1000.0
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

unsigned long long parse_bytes(std::string_view text) {
  const auto invalid = [&](std::string_view why) {
    return InvalidInput(fmt::format("\"{}\" is not a size: {}", printable(text, 60), why),
                        "Write a number and a unit, such as 512M, 4G or 1.5GiB.");
  };
  const std::string_view trimmed = trim(text);
  const size_t number_end = std::min(trimmed.find_first_not_of("0123456789."), trimmed.size());
  const std::string_view number = trimmed.substr(0, number_end);
  const std::string unit = to_lower(trim(trimmed.substr(number_end)));
  const size_t dot = number.find('.');
  const std::string_view fraction = dot == std::string_view::npos ? std::string_view() : number.substr(dot + 1);
  if (number.empty() || dot == 0 || number.back() == '.' || fraction.find('.') != std::string_view::npos)
    throw invalid("it does not begin with a positive number");

  long double factor = 1;
  if (!unit.empty() && unit != "b") {
    const size_t power = std::string_view("kmgtp").find(unit[0]);
    const std::string_view rest = std::string_view(unit).substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib" && rest != "i"))
      throw invalid(fmt::format("the unit \"{}\" is unknown", printable(unit, 20)));
    factor = std::pow(rest.starts_with('i') ? 1024.0L : 1000.0L, static_cast<long double>(power + 1));
  }
  if (factor == 1 && !fraction.empty()) throw invalid("a part of a byte does not exist");

  long double value = 0;
  for (const char c : number.substr(0, dot)) value = value * 10 + (c - '0');
  long double weight = 0.1L;
  for (const char c : fraction) value += (c - '0') * weight, weight /= 10;
  value *= factor;
  // Docker and SQLite carry sizes as signed 64-bit integers.
  if (value > static_cast<long double>(std::numeric_limits<std::int64_t>::max())) throw invalid("it is too large");
  return static_cast<unsigned long long>(value + 1e-6L);
}

std::optional<unsigned long long> parse_u64(std::string_view text) { return parse_integer<unsigned long long>(text); }
std::optional<long long> parse_i64(std::string_view text) { return parse_integer<long long>(text); }

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') out += c;
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const auto high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (!high || !low) return std::nullopt;
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  return out;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
    if (!high || !low) return std::nullopt;
    bytes += static_cast<char>(*high << 4 | *low);
  }
  return hex(bytes) == digits ? std::optional(std::move(bytes)) : std::nullopt;
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decoded(std::string_view text) {
  static constexpr auto kValues = [] {
    std::array<signed char, 256> values{};
    values.fill(-1);
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<signed char>(i);
    return values;
  }();
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  unsigned bits = 0, value = 0;
  for (const char c : text) {
    const int digit = kValues[static_cast<unsigned char>(c)];
    if (digit < 0) return std::nullopt;
    value = value << 6 | static_cast<unsigned>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<char>(value >> bits & 0xff));
  }
  return out;
}

std::string random_hex(size_t bytes) {
  std::string buffer(bytes, '\0');
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::getrandom(buffer.data() + done, bytes - done, 0);
    if (n < 0 && errno != EINTR) throw IoError("get random bytes from the kernel", errno);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return hex(buffer);
}

}  // namespace riverbox
