// Any bytes as a file of authorized keys: what becomes a key is one, and every line is a key, ignored or nothing.
#include <algorithm>

#include "fuzz_target.hpp"
#include "ssh/authorized_keys.hpp"

using namespace riverbox::ssh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const AuthorizedKeys all = parse_authorized_keys(text);
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  MUST_HOLD(all.keys.size() + all.ignored.size() <= lines);
  for (const AuthorizedKey& key : all.keys) {
    MUST_HOLD(key.line >= 1 && key.line <= lines);
    MUST_HOLD(key.blob.size() >= 4 + key.type.size() && key.blob.substr(4, key.type.size()) == key.type);
    MUST_HOLD(key.comment.find('\n') == std::string::npos);
    MUST_HOLD(text.find(key.type) != std::string_view::npos);
  }
  for (const IgnoredLine& line : all.ignored) MUST_HOLD(line.line >= 1 && line.line <= lines && !line.why.empty());
  return 0;
}
