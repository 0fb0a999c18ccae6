#include "base/duration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

struct TimeUnit {
  char letter;
  std::string_view name;
  std::int64_t seconds;
};
constexpr std::array<TimeUnit, 4> kTimeUnits{{{'d', "d", 86400}, {'h', "h", 3600}, {'m', "min", 60}, {'s', "s", 1}}};
constexpr std::uint64_t kMaxNumber = 1'000'000'000;

// Takes a number off the front; nullopt: there is none.
std::optional<std::int64_t> take_number(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto value = parse_u64(text.substr(0, end));
  if (!value || *value > kMaxNumber) return std::nullopt;
  text.remove_prefix(end);
  return static_cast<std::int64_t>(*value);
}

// "[D-]HH:MM:SS"
std::optional<std::int64_t> clock_seconds(std::string_view text) {
  std::int64_t days = 0;
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto number = take_number(text);
    if (!number || text.substr(0, 1) != "-") return std::nullopt;
    days = *number;
    text.remove_prefix(1);
  }
  std::int64_t seconds = 0;
  for (int part = 0; part < 3; ++part) {
    const auto number = take_number(text);
    if (!number || (part > 0 && *number > 59)) return std::nullopt;
    seconds = seconds * 60 + *number;
    if (part == 2) return text.empty() ? std::optional(days * 86400 + seconds) : std::nullopt;
    if (text.substr(0, 1) != ":") return std::nullopt;
    text.remove_prefix(1);
  }
  return std::nullopt;
}

// "1d12h": larger units first, each once.
std::optional<std::int64_t> unit_seconds(std::string_view text) {
  std::int64_t seconds = 0;
  for (size_t next = 0; !text.empty();) {
    const auto number = take_number(text);
    if (!number || text.empty()) return std::nullopt;
    while (next < kTimeUnits.size() && kTimeUnits[next].letter != text[0]) ++next;
    if (next == kTimeUnits.size()) return std::nullopt;
    seconds += *number * kTimeUnits[next++].seconds;
    text.remove_prefix(1);
  }
  return seconds;
}

}  // namespace

std::chrono::seconds parse_duration(std::string_view text) {
  const std::string_view trimmed = trim(text);
  const auto seconds = trimmed.find(':') != std::string_view::npos ? clock_seconds(trimmed) : unit_seconds(trimmed);
  if (!seconds || *seconds <= 0)
    throw InvalidInput(fmt::format("\"{}\" is not a length of time", printable(text, 60)), "Write a number and a unit, such as 90s, 30m, 2h or 1d12h, or 12:30:00.");
  return std::chrono::seconds(*seconds);
}

std::string human_duration(std::chrono::seconds duration) {
  std::string out;
  std::int64_t left = duration.count();
  for (const TimeUnit& unit : kTimeUnits) {
    if (left >= unit.seconds) out += fmt::format("{}{} {}", out.empty() ? "" : " ", left / unit.seconds, unit.name);
    left %= unit.seconds;
  }
  return out.empty() ? "0 s" : out;
}

}  // namespace riverbox
