// Wall-clock time for display and for Docker's `Created`; intervals use std::chrono::steady_clock directly.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

WallTime wall_now();
// RFC 3339 with any fraction up to nanoseconds and any offset ("2026-11-21T23:10:12.372627458Z"). Throws BadData.
WallTime parse_rfc3339(std::string_view text);
// The same, or without an offset: then it is local time, as HakuRiver and Python write it ("2026-11-21 21:42:19.196402"). Throws BadData.
WallTime parse_local(std::string_view text);
// UTC, nanoseconds, "Z".
std::string to_rfc3339(WallTime time);
// What HakuRiver's JSON carries: naive local time "2026-11-21T21:42:19.196402".
std::string to_local_iso(WallTime time);
// How far this machine's clock on the wall is east of UTC: at `from`, and after every change until `to`.
struct UtcOffset {
  std::int64_t since;  // unix seconds
  int seconds;
};
std::vector<UtcOffset> utc_offsets(WallTime from, WallTime to);
std::int64_t unix_seconds(WallTime time);  // floor
// "3 minutes ago", for tables.
std::string ago(WallTime then, WallTime now);

}  // namespace riverbox
