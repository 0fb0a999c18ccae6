#include "base/time.hpp"

#include <fmt/format.h>

#include <ctime>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// Go's zero time, which Docker writes for "never". It lies before what 64-bit nanoseconds can hold, so
// WallTime::min() stands for it in both directions.
constexpr std::string_view kGoZeroTime = "0001-01-01T00:00:00Z";

// Reads fixed-width fields from the front of a time stamp.
class Reader {
public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool number(int digits, int low, int high, int& value) {
    if (rest_.size() < static_cast<size_t>(digits)) return false;
    value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = rest_[static_cast<size_t>(i)];
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(static_cast<size_t>(digits));
    return value >= low && value <= high;
  }
  bool one_of(std::string_view characters, char& found) {
    if (rest_.empty() || characters.find(rest_.front()) == std::string_view::npos) return false;
    found = rest_.front();
    rest_.remove_prefix(1);
    return true;
  }
  bool literal(char c) {
    char ignored = 0;
    return one_of(std::string_view(&c, 1), ignored);
  }
  // ".123": nanoseconds; digits beyond the ninth are dropped.
  bool fraction(int& value) {
    value = 0;
    if (!literal('.')) return true;
    int digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; rest_.remove_prefix(1), ++digits)
      if (digits < 9) value = value * 10 + (rest_.front() - '0');
    for (int i = digits; i < 9; ++i) value *= 10;
    return digits > 0;
  }
  bool at_end() const { return rest_.empty(); }

private:
  std::string_view rest_;
};

struct Civil {
  int year, month, day, hour, minute, second, nanosecond;
  int offset_minutes;
};

bool parse_offset(Reader& in, int& offset_minutes) {
  char sign = 0;
  if (!in.one_of("Zz+-", sign)) return false;
  offset_minutes = 0;
  if (sign == 'Z' || sign == 'z') return true;
  int hours = 0, minutes = 0;
  if (!in.number(2, 0, 23, hours) || !in.literal(':') || !in.number(2, 0, 59, minutes)) return false;
  offset_minutes = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
  return true;
}

bool parse_clock(Reader& in, Civil& civil) {
  char separator = 0;
  return in.number(4, 0, 9999, civil.year) && in.literal('-') && in.number(2, 1, 12, civil.month) && in.literal('-') &&
         in.number(2, 1, 31, civil.day) && in.one_of("Tt ", separator) && in.number(2, 0, 23, civil.hour) && in.literal(':') &&
         in.number(2, 0, 59, civil.minute) && in.literal(':') && in.number(2, 0, 60, civil.second) &&
         in.fraction(civil.nanosecond);
}

bool parse_civil(std::string_view text, Civil& civil) {
  Reader in(text);
  return parse_clock(in, civil) && parse_offset(in, civil.offset_minutes) && in.at_end();
}

std::string quantity(std::int64_t count, std::string_view unit) {
  return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
}

// Units change late ("36 hours", "13 days"), so that the number keeps some precision.
std::string largest_unit(std::int64_t age) {
  if (age < 60) return quantity(age, "second");
  if (age < 3600) return quantity(age / 60, "minute");
  if (age < 48 * 3600) return quantity(age / 3600, "hour");
  if (age < 14 * 86400) return quantity(age / 86400, "day");
  if (age < 60 * 86400) return quantity(age / (7 * 86400), "week");
  if (age < 2 * 365 * 86400) return quantity(age / (30 * 86400), "month");
  return quantity(age / (365 * 86400), "year");
}

}  // namespace

WallTime wall_now() { return std::chrono::time_point_cast<nanoseconds>(std::chrono::system_clock::now()); }

WallTime parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  Civil c{};
  const auto bad = [&] { return BadData("\"" + printable(text, 60) + "\" is not a time (RFC 3339)"); };
  if (!parse_civil(text, c)) throw bad();
  const year_month_day date{year(c.year), month(static_cast<unsigned>(c.month)), day(static_cast<unsigned>(c.day))};
  if (!date.ok()) throw bad();
  if (c.year < 1678) return WallTime::min();
  if (c.year > 2261) return WallTime::max();
  const auto whole = sys_days(date).time_since_epoch() + hours(c.hour) + minutes(c.minute - c.offset_minutes) + seconds(c.second);
  return WallTime(duration_cast<nanoseconds>(whole) + nanoseconds(c.nanosecond));
}

WallTime parse_local(std::string_view text) {
  Civil c{};
  Reader in(text);
  if (!parse_clock(in, c) || !in.at_end()) return parse_rfc3339(text);
  std::tm local{};
  local.tm_year = c.year - 1900;
  local.tm_mon = c.month - 1;
  local.tm_mday = c.day;
  local.tm_hour = c.hour;
  local.tm_min = c.minute;
  local.tm_sec = c.second;
  local.tm_isdst = -1;  // of an hour that was there twice it is one of the two
  const std::time_t whole = ::mktime(&local);
  if (c.year < 1971 || c.year > 2261 || local.tm_mday != c.day) throw BadData("\"" + printable(text, 60) + "\" is not a time");
  return WallTime(seconds(whole) + nanoseconds(c.nanosecond));
}

std::string to_rfc3339(WallTime time) {
  using namespace std::chrono;
  if (time == WallTime::min()) return std::string(kGoZeroTime);
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss<nanoseconds> clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::string to_local_iso(WallTime time) {
  const std::time_t whole = unix_seconds(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - std::chrono::floor<seconds>(time)).count();
  std::tm local{};
  ::localtime_r(&whole, &local);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
                     local.tm_hour, local.tm_min, local.tm_sec, micros);
}

std::vector<UtcOffset> utc_offsets(WallTime from, WallTime to) {
  const auto at = [](std::time_t time) {
    std::tm local{};
    ::localtime_r(&time, &local);
    return static_cast<int>(local.tm_gmtoff);
  };
  constexpr std::time_t kDay = 86400;  // no clock is changed twice within one
  std::vector<UtcOffset> out{{unix_seconds(from), at(unix_seconds(from))}};
  for (std::time_t day = unix_seconds(from); day < unix_seconds(to); day += kDay) {
    if (at(day + kDay) == out.back().seconds) continue;
    std::time_t before = day, after = day + kDay;
    while (after - before > 1) {
      const std::time_t middle = before + (after - before) / 2;
      (at(middle) == out.back().seconds ? before : after) = middle;
    }
    out.push_back({after, at(after)});
  }
  return out;
}

std::int64_t unix_seconds(WallTime time) { return std::chrono::floor<seconds>(time).time_since_epoch().count(); }

std::string ago(WallTime then, WallTime now) {
  if (then == WallTime::min()) return "never";
  const std::int64_t age = unix_seconds(now) - unix_seconds(then);
  if (age <= -60) return "in " + largest_unit(-age);
  if (age < 1) return "just now";  // also a clock that is a little ahead
  return largest_unit(age) + " ago";
}

}  // namespace riverbox
