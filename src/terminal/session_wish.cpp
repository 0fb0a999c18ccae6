#include "terminal/session_wish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::terminal {
namespace {

bool may_name_a_session(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'; }

}  // namespace

SessionName SessionName::parse(std::string_view text) {
  if (text.empty() || text.size() > 64 || !std::all_of(text.begin(), text.end(), may_name_a_session))
    throw InvalidInput(fmt::format("\"{}\" is not a name for a session", printable(text, 80)), "It has at most 64 of a-z, A-Z, 0-9, '.', '_' and '-'.");
  return SessionName(std::string(text));
}

SessionPlace SessionPlace::parse(std::string_view text) {
  const auto dot = std::min(text.find('.'), text.size());
  SessionPlace place;
  const auto parsed = std::from_chars(text.data(), text.data() + dot, place.session, 16);
  const auto position = dot < text.size() ? parse_u64(text.substr(dot + 1)) : std::nullopt;
  if (dot != 16 || parsed.ec != std::errc() || parsed.ptr != text.data() + dot || !position) throw InvalidInput(fmt::format("\"{}\" is not a place in a session", printable(text, 80)));
  place.position = *position;
  return place;
}

std::string SessionPlace::str() const { return fmt::format("{:016x}.{}", session, position); }

}  // namespace riverbox::terminal
