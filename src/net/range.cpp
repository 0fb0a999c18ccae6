#include "net/range.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/strings.hpp"

namespace riverbox::net {
namespace {

// A number too large to be one is as good as the largest: there is nothing at that offset.
std::optional<std::uint64_t> saturated(std::string_view digits) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return parse_u64(digits).value_or(std::numeric_limits<std::uint64_t>::max());
}

}  // namespace

RangeWish parse_range(const std::string* range, const std::string* if_range, std::string_view etag, std::uint64_t whole_bytes) {
  const RangeWish whole{RangeWish::Kind::whole, 0, whole_bytes}, unsatisfiable{RangeWish::Kind::unsatisfiable, 0, 0};
  if (!range || (if_range && trim(*if_range) != etag)) return whole;
  std::string_view text = trim(*range);
  constexpr std::string_view kUnit = "bytes=";
  if (to_lower(text.substr(0, kUnit.size())) != kUnit) return whole;
  text = trim(text.substr(kUnit.size()));
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return whole;
  const std::string_view from = text.substr(0, dash), to = text.substr(dash + 1);
  if (from.empty()) {  // the last so many bytes
    const auto count = saturated(to);
    if (!count) return whole;
    const std::uint64_t size = std::min(*count, whole_bytes);
    return size == 0 ? unsatisfiable : RangeWish{RangeWish::Kind::part, whole_bytes - size, size};
  }
  const auto first = saturated(from), last = to.empty() ? std::optional(std::numeric_limits<std::uint64_t>::max()) : saturated(to);
  if (!first || !last || *last < *first) return whole;
  if (*first >= whole_bytes) return unsatisfiable;
  return {RangeWish::Kind::part, *first, std::min(*last, whole_bytes - 1) - *first + 1};
}

bool names_etag(const std::string* if_none_match, std::string_view etag) {
  if (!if_none_match) return false;
  for (const std::string& part : split(*if_none_match, ',')) {
    std::string_view one = trim(part);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag || one == "*") return true;
  }
  return false;
}

}  // namespace riverbox::net
