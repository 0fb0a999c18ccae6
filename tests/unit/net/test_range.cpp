#include <doctest/doctest.h>

#include "net/range.hpp"

using namespace riverbox::net;

namespace {

constexpr std::uint64_t kSize = 1000;
constexpr const char* kEtag = "\"sha256:abc\"";

RangeWish parse(const std::string& range, const std::string& if_range = "") {
  return parse_range(&range, if_range.empty() ? nullptr : &if_range, kEtag, kSize);
}

void is_part(const RangeWish& wish, std::uint64_t offset, std::uint64_t size) {
  CHECK(wish.kind == RangeWish::Kind::part);
  CHECK(wish.offset == offset);
  CHECK(wish.size_bytes == size);
}

}  // namespace

TEST_CASE("the three forms of a range") {
  is_part(parse("bytes=0-0"), 0, 1);
  is_part(parse("bytes=10-19"), 10, 10);
  is_part(parse("Bytes= 10-19 "), 10, 10);
  is_part(parse("bytes=990-"), 990, 10);
  is_part(parse("bytes=-10"), 990, 10);
}

TEST_CASE("ranges that reach beyond the end are cut there") {
  is_part(parse("bytes=990-5000"), 990, 10);
  is_part(parse("bytes=0-99999999999999999999999"), 0, kSize);
  is_part(parse("bytes=-5000"), 0, kSize);
}

TEST_CASE("a range with nothing in it cannot be satisfied") {
  for (const char* text : {"bytes=1000-", "bytes=1000-2000", "bytes=99999999999999999999999-", "bytes=-0"})
    CHECK(parse(text).kind == RangeWish::Kind::unsatisfiable);
  const std::string any = "bytes=-5", first = "bytes=0-";
  CHECK(parse_range(&any, nullptr, kEtag, 0).kind == RangeWish::Kind::unsatisfiable);
  CHECK(parse_range(&first, nullptr, kEtag, 0).kind == RangeWish::Kind::unsatisfiable);
}

TEST_CASE("what is no range of one part is ignored") {
  for (const char* text : {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5", "bytes=9-3", "bytes=0-1,5-6", "items=0-1", "bytes=+1-2", "bytes=0x1-2"}) {
    const auto wish = parse(text);
    CHECK(wish.kind == RangeWish::Kind::whole);
    CHECK(wish.size_bytes == kSize);
  }
  CHECK(parse_range(nullptr, nullptr, kEtag, kSize).kind == RangeWish::Kind::whole);
}

TEST_CASE("If-Range: the part only of the same thing") {
  is_part(parse("bytes=10-", kEtag), 10, 990);
  CHECK(parse("bytes=10-", "\"sha256:other\"").kind == RangeWish::Kind::whole);
  CHECK(parse("bytes=10-", "Sun, 22 Nov 2026 00:36:05 GMT").kind == RangeWish::Kind::whole);
}

TEST_CASE("If-None-Match") {
  const std::string same = kEtag, weak = std::string("W/") + kEtag, list = std::string("\"x\" , ") + kEtag, any = "*", other = "\"x\"";
  for (const auto* text : {&same, &weak, &list, &any}) CHECK(names_etag(text, kEtag));
  CHECK_FALSE(names_etag(&other, kEtag));
  CHECK_FALSE(names_etag(nullptr, kEtag));
}
