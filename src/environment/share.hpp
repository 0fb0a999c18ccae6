// The folder of archives on the share: <shared_dir>/<container_dir>/<name>-<unix seconds>.tar. Blocking: a share may hang.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "environment/name.hpp"

namespace riverbox::environment {

struct Version {
  std::int64_t timestamp = 0;     // unix seconds, from the file name
  std::string tarball;            // file name
  std::uint64_t size_bytes = 0;
  std::string image_id;           // config digest from the index beside it; empty when not known without reading the tar
};

// What the indexes of a share have said. An index never changes but by verify, and ten thousand of them are a second over NFS: each is read once. Thread-safe.
class ImageIds {
public:
  void forget();

private:
  friend class Share;
  struct Known {
    std::uint64_t size_bytes = 0;  // of the archive
    std::string image_id;
  };
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // by tarball
};

class Share {
public:
  explicit Share(std::filesystem::path container_dir) : dir_(std::move(container_dir)) {}
  const std::filesystem::path& dir() const { return dir_; }
  std::filesystem::path path_of(const std::string& tarball) const { return dir_ / tarball; }
  std::filesystem::path index_path(const std::string& tarball) const;  // <dir>/.riverbox/<tarball without .tar>.json

  // Creates the folder. Throws IoError with advice for a missing or read-only share.
  void prepare() const;
  // All environments, versions newest first. Ignores foreign names, directories, empty and temporary files, upper-case names.
  // One pass over the folder, 10,000 files well under a second. Throws NotFound when the folder is missing.
  using Listing = std::map<EnvironmentName, std::vector<Version>>;
  Listing list(bool with_image_ids = true) const;
  Listing list(ImageIds& known) const;
  std::vector<Version> versions(const EnvironmentName& name) const;  // newest first; empty if none
  std::optional<Version> newest(const EnvironmentName& name) const;
  // Removes archive and index. Absent: fine.
  void remove(const Version& version) const;
  // Removes temporary files of publishers that are gone (older than `age_seconds`).
  void remove_stale_temporaries(std::int64_t age_seconds) const;
  // "<name>-<digits>.tar" (the last "-<digits>" is the version); nullopt: not one of ours.
  static std::optional<std::pair<EnvironmentName, std::int64_t>> parse_file_name(std::string_view file_name);
  static std::string file_name(const EnvironmentName& name, std::int64_t timestamp);

private:
  std::filesystem::path dir_;
};

}  // namespace riverbox::environment
