#include "environment/registry_reference.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {

RegistryReference RegistryReference::parse(std::string_view text) {
  RegistryReference reference;
  if (text == "latest") {
    reference.kind = Kind::latest;
  } else if (text.find(':') != std::string_view::npos) {  // no tag has one
    reference.kind = Kind::digest;
    reference.digest = parse_registry_digest(text);
  } else if (const auto number = parse_i64(text); number && *number >= 0 && std::to_string(*number) == text) {
    reference.kind = Kind::version;
    reference.version = *number;
  }
  return reference;
}

std::string parse_registry_digest(std::string_view text) {
  if (text.starts_with("sha256:") && Digest::is_valid(text)) return std::string(text);
  throw InvalidInput(fmt::format("'{}' is not a digest", printable(text, 100)), "Digests here are \"sha256:\" and 64 lower-case hex digits.");
}

std::vector<std::string> registry_tags(const std::vector<Version>& versions) {
  std::vector<std::string> tags;
  if (versions.empty()) return tags;
  tags.reserve(versions.size() + 1);
  for (const Version& version : versions) tags.push_back(std::to_string(version.timestamp));
  tags.emplace_back("latest");
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());  // "x-7.tar" and "x-07.tar"
  return tags;
}

Page page_of(const std::vector<std::string>& sorted, std::size_t count, std::string_view last) {
  const auto first = last.empty() ? sorted.begin() : std::upper_bound(sorted.begin(), sorted.end(), last);
  const auto end = first + static_cast<std::ptrdiff_t>(std::min(count, static_cast<std::size_t>(sorted.end() - first)));
  return {{first, end}, end != sorted.end() && end != first};
}

}  // namespace riverbox::environment
