// The dashboard as it lies in the executable.
#pragma once
#include <span>
#include <string_view>

namespace riverbox::web {

struct File {
  std::string_view path;          // "/index.html"; what is below "/assets/" has a name of its own for each content
  std::string_view content_type;
  std::string_view etag;          // with its quotes
  std::string_view bytes;
  bool compressed;                // with gzip
};

// Empty where it was left out of the build.
std::span<const File> files();

}  // namespace riverbox::web
