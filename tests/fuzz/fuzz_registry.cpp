// Any bytes as a request of a puller: a line each of path, Range, If-Range, If-None-Match, Authorization.
#include <array>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"
#include "environment/registry_reference.hpp"
#include "fuzz_target.hpp"
#include "net/credentials.hpp"
#include "net/range.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

void check_reference(const std::string& text) {
  try {
    const auto reference = RegistryReference::parse(text);
    using Kind = RegistryReference::Kind;
    if (reference.kind == Kind::digest) MUST_HOLD(Digest::is_valid(reference.digest) && reference.digest == text);
    if (reference.kind == Kind::version) MUST_HOLD(reference.version >= 0 && std::to_string(reference.version) == text);
    if (reference.kind == Kind::latest) MUST_HOLD(text == "latest");
    MUST_HOLD((reference.kind == Kind::digest) == !reference.digest.empty());
  } catch (const InvalidInput& error) {
    MUST_HOLD(!error.next().empty());
    for (const char c : std::string_view(error.what())) MUST_HOLD(static_cast<unsigned char>(c) >= 0x20);
  }
}

void check_range(const std::string& range, const std::string* if_range, std::uint64_t size) {
  const auto wish = net::parse_range(&range, if_range, "\"etag\"", size);
  using Kind = net::RangeWish::Kind;
  if (wish.kind == Kind::whole) MUST_HOLD(wish.offset == 0 && wish.size_bytes == size);
  if (wish.kind == Kind::unsatisfiable) MUST_HOLD(wish.size_bytes == 0);
  if (wish.kind == Kind::part) MUST_HOLD(wish.size_bytes > 0 && wish.offset < size && wish.size_bytes <= size - wish.offset);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto lines = split(text, '\n');
  lines.resize(std::max<size_t>(lines.size(), 5));
  for (const std::string& segment : split(lines[0], '/')) {
    if (const auto decoded = percent_decoded(segment)) check_reference(*decoded);
    check_reference(segment);
  }
  for (const std::uint64_t whole : std::array<std::uint64_t, 4>{0, 1, 9, UINT64_MAX}) {
    check_range(lines[1], nullptr, whole);
    check_range(lines[1], &lines[2], whole);
  }
  net::names_etag(&lines[3], "\"etag\"");
  if (const auto token = net::bearer_token(lines[4])) MUST_HOLD(token->size() < lines[4].size());
  if (const auto password = net::basic_password(lines[4])) MUST_HOLD(password->size() < lines[4].size());
  const auto page = page_of({"a", "b", "c"}, size % 5, lines[0]);
  MUST_HOLD(page.entries.size() <= std::min<size_t>(3, size % 5));
  MUST_HOLD(!page.more || !page.entries.empty());
  return 0;
}
