// The lines of the protocol of rcp, which `scp -O` speaks. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::ssh {

// "C0644 12 name" and "D0755 0 name".
struct ScpEntry {
  unsigned mode = 0;
  std::uint64_t size = 0;
  std::string name;  // one in the folder that is meant: no slash, no dots, no NUL
};
std::optional<ScpEntry> parse_scp_entry(std::string_view line);

// "T<modified> 0 <used> 0".
struct ScpTimes {
  std::int64_t modified = 0, used = 0;
};
std::optional<ScpTimes> parse_scp_times(std::string_view line);

}  // namespace riverbox::ssh
