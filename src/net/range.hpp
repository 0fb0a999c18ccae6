// The Range header of a request for bytes (RFC 9110, section 14). Pure.
#pragma once
#include <cstdint>
#include <string>

namespace riverbox::net {

struct RangeWish {
  enum class Kind {
    whole,          // no Range, one that is malformed or of another unit, or several parts: such a header is ignored
    part,
    unsatisfiable,  // 416
  } kind = Kind::whole;
  std::uint64_t offset = 0, size_bytes = 0;  // of what is to be sent: inside of the whole, never empty for a part
};

// `range` and `if_range` are the headers, null where there is none; `etag` is that of the whole, with its quotes.
RangeWish parse_range(const std::string* range, const std::string* if_range, std::string_view etag, std::uint64_t whole_bytes);

// Does an If-None-Match header name this entity tag? Weak comparison.
bool names_etag(const std::string* if_none_match, std::string_view etag);

}  // namespace riverbox::net
