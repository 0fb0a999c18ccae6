// A part of a file that may still grow: all of it as it is now, a range, or its last lines.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "net/range.hpp"
#include "os/beneath.hpp"
#include "os/fd.hpp"

namespace riverbox::net {

struct PartRequest {
  std::optional<std::string> range;         // a Range header
  std::optional<std::uint64_t> last_lines;  // goes before it
};

struct FilePart {
  std::filesystem::path path;
  os::UniqueFd fd;                // none: there is no such file
  std::uint64_t whole_bytes = 0;  // so far
  RangeWish wish;
};

// Follows no link beneath the root of `file`. Throws IoError; Conflict for what is no regular file, because that may hang its reader. Blocking.
FilePart open_part(const os::Place& file, const PartRequest& request);

}  // namespace riverbox::net
