#include "ssh/scp_line.hpp"

#include "base/strings.hpp"

namespace riverbox::ssh {

std::optional<ScpEntry> parse_scp_entry(std::string_view line) {
  constexpr size_t kFirst = 5;  // after the letter and four digits
  const size_t second = line.size() > kFirst && line[kFirst] == ' ' ? line.find(' ', kFirst + 1) : line.npos;
  if (second == line.npos || (line[0] != 'C' && line[0] != 'D')) return std::nullopt;
  ScpEntry entry{.name = std::string(line.substr(second + 1))};
  for (const char digit : line.substr(1, kFirst - 1)) {
    if (digit < '0' || digit > '7') return std::nullopt;
    entry.mode = entry.mode << 3 | static_cast<unsigned>(digit - '0');
  }
  const auto size = parse_u64(line.substr(kFirst + 1, second - kFirst - 1));
  if (!size || *size > INT64_MAX) return std::nullopt;
  if (entry.name.empty() || entry.name == "." || entry.name == ".." || entry.name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) return std::nullopt;
  entry.size = *size;
  return entry;
}

std::optional<ScpTimes> parse_scp_times(std::string_view line) {
  if (!line.starts_with('T')) return std::nullopt;
  const auto words = split(line.substr(1), ' ');
  if (words.size() != 4) return std::nullopt;
  const auto modified = parse_i64(words[0]), used = parse_i64(words[2]);
  if (!modified || !used) return std::nullopt;
  return ScpTimes{*modified, *used};
}

}  // namespace riverbox::ssh
