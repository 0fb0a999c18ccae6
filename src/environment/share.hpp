// The folder of archives on the share: <shared_dir>/<container_dir>/<name>-<unix seconds>.tar. Blocking: a share may hang.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "environment/name.hpp"
#include "os/beneath.hpp"

namespace riverbox::environment {

struct Version {
  std::int64_t timestamp = 0;     // unix seconds, from the file name
  std::string tarball;            // file name
  std::uint64_t size_bytes = 0;
  std::string image_id;           // config digest from the index beside it; empty when not known without reading the tar
};

// All environments, versions newest first.
using Listing = std::map<EnvironmentName, std::vector<Version>>;

// The last listing, for as long as the folders do not say that anything has come or gone: ten thousand versions are seconds over NFS. Thread-safe.
class ListingCache {
private:
  friend class Share;
  // When a name last came or went: of the archives, of their indexes.
  struct Stamp {
    std::int64_t archives_ns = 0, indexes_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  std::mutex mutex_;
  Stamp stamp_;
  std::shared_ptr<const Listing> listing_;
};

class Share {
public:
  // Beneath `shared_dir` no link is followed (os/beneath.hpp). A folder that lies elsewhere, or whose share is not said, is the administrator's itself, and only what is in it is not.
  explicit Share(const std::filesystem::path& container_dir, const std::filesystem::path& shared_dir = {});
  const std::filesystem::path& dir() const { return dir_; }
  const os::Place& folder() const { return folder_; }
  os::Place place_of(const std::string& tarball) const { return folder_ / tarball; }
  os::Place index_place(const std::string& tarball) const;  // <dir>/.riverbox/<tarball without .tar>.json
  std::filesystem::path path_of(const std::string& tarball) const { return place_of(tarball).path(); }  // for people
  std::filesystem::path index_path(const std::string& tarball) const { return index_place(tarball).path(); }

  // Creates the folder. Throws IoError with advice for a missing or read-only share.
  void prepare() const;
  // Ignores foreign names, directories, empty and temporary files, upper-case names. One pass over the folder, 10,000 files well under a second.
  // Throws NotFound when the folder is missing.
  Listing list(bool with_image_ids = true) const;
  std::shared_ptr<const Listing> list(ListingCache& cache) const;
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
  // Adds the time of the youngest archive, ns.
  Listing read(bool with_image_ids, std::int64_t& youngest_ns) const;
  os::Place folder_;
  std::filesystem::path dir_;  // the same, for messages
};

}  // namespace riverbox::environment
