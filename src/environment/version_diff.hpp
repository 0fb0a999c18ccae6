// What differs between two versions of an environment: layers, files, packages. Reads the layers that only one of them has. Of those below,
// which both have, only headers are looked at, to learn what a changed path was before, and the former lists of packages.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "environment/archive.hpp"
#include "environment/packages.hpp"

namespace riverbox::environment {

enum class Change {
  added,
  changed,
  removed,
  touched,  // written again, with the same type, size, mode, owner and time
  written,  // added or changed: what was there before is not known
};
inline constexpr std::array kChanges{Change::added, Change::changed, Change::removed, Change::touched, Change::written};
std::string_view to_string(Change change);

struct FileChange {
  Change change = Change::added;
  std::string path;  // "/etc/passwd"
  char type = '?';   // as in tar, of the newer version unless removed; '?': not known
  std::optional<std::uint64_t> a_bytes, b_bytes;  // of regular files, where known
  std::vector<std::string_view> differs;          // of `changed`: "type", "size", "mode", "owner", "time", "target", "content"
};

struct PackageChange {
  std::string name, from, to;  // `from` empty: added; `to` empty: removed
  std::string where;           // pip: the folder it is installed in
};

struct LayerFact {
  std::string diff_id;
  std::uint64_t size_bytes = 0;  // in the archive
};

struct VersionDiff {
  std::vector<LayerFact> shared, only_a, only_b;  // shared: on top of the same layers in both
  struct Total {
    std::uint64_t files = 0, bytes = 0;  // of the newer version; of `removed` in the older one
  };
  std::map<Change, Total> totals;
  std::vector<FileChange> files;  // by path, at most `max_files` of them
  std::map<PackageManager, std::vector<PackageChange>> packages;  // of managers whose files differ
  std::vector<std::string> notes;  // what could not be compared, and why
};

struct DiffOptions {
  size_t max_paths = 100'000;  // compared; what is beyond is counted in a note
  size_t max_files = 20'000;   // listed
  // For the headers of layers that both versions have. When it is over, what was there before is not known.
  std::chrono::milliseconds look_below = std::chrono::seconds(15);
};

// How many layers from the lowest on are the same in both.
size_t common_layers(const Archive& a, const Archive& b);

// Throws what read_archive() throws; a layer that cannot be read is a note.
VersionDiff diff_archives(const os::Place& a, const os::Place& b, const DiffOptions& options, const CancelToken& cancel);

}  // namespace riverbox::environment
