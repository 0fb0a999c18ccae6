// What a puller can ask an environment's repository for (OCI distribution specification). Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "environment/share.hpp"

namespace riverbox::environment {

// The part of a manifest's path after "/manifests/".
struct RegistryReference {
  enum class Kind {
    latest,   // the newest version
    version,  // the one with this number
    digest,   // whichever has this manifest
    unknown,  // a tag that no environment can have
  } kind = Kind::unknown;
  std::int64_t version = 0;
  std::string digest;  // "sha256:<hex>"

  // Throws InvalidInput for what looks like a digest and is none.
  static RegistryReference parse(std::string_view text);
};

// "sha256:" and 64 lower-case hex digits, nothing else. Throws InvalidInput.
std::string parse_registry_digest(std::string_view text);

// The tags of these versions (newest first): every number, and "latest"; sorted as text.
std::vector<std::string> registry_tags(const std::vector<Version>& versions);

// The part of a sorted list that comes after `last`, at most `count` entries.
struct Page {
  std::vector<std::string> entries;
  bool more = false;  // after the last entry
};
Page page_of(const std::vector<std::string>& sorted, std::size_t count, std::string_view last);

}  // namespace riverbox::environment
