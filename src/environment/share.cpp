#include "environment/share.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr std::string_view kSuffix = ".tar";
constexpr const char* kIndexFolder = ".riverbox";
constexpr const char* kReadOnly = "The share is read-only for this user: mount it writable on the host.";

std::int64_t changed_ns(const struct stat& st) { return static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec; }

// Of a folder; 0: there is none.
std::int64_t changed_ns(const os::Place& folder) {
  const auto st = os::stat_beneath(folder);
  return st ? changed_ns(*st) : 0;
}

// The size if it is a regular file with something in it, else 0. Links are nobody's version.
std::uint64_t size_of_file(int folder_fd, const char* name, unsigned char type, std::int64_t* youngest_ns = nullptr) {
  if (type != DT_REG && type != DT_UNKNOWN) return 0;
  struct stat st {};
  if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return 0;
  if (youngest_ns) *youngest_ns = std::max(*youngest_ns, changed_ns(st));
  return static_cast<std::uint64_t>(st.st_size);
}

bool newer_first(const Version& a, const Version& b) {
  return a.timestamp != b.timestamp ? a.timestamp > b.timestamp : a.tarball < b.tarball;
}

// The digest of an index without parsing it: for listings, where a wrong one would only be a wrong line on a screen. The keys
// come in the order of writing (archive_index.cpp); the size ties the index to this file.
std::string image_id_in_index(int folder_fd, const std::string& file_name, std::uint64_t tar_size_bytes) {
  const os::UniqueFd fd(openat(folder_fd, file_name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return {};
  char buffer[1024];
  const ssize_t n = pread(fd.get(), buffer, sizeof buffer, 0);
  if (n <= 0) return {};
  const std::string_view text(buffer, static_cast<size_t>(n));
  const auto value_after = [&](std::string_view key) -> std::string_view {
    const size_t at = text.find(key);
    if (at == std::string_view::npos) return {};
    std::string_view rest = text.substr(at + key.size());
    rest = rest.substr(0, rest.find_first_of(",\n"));
    const std::string_view value = trim(rest);
    return value.size() >= 2 && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
  };
  if (parse_u64(value_after("\"size_bytes\":")) != tar_size_bytes) return {};
  const std::string_view digest = value_after("\"config_digest\":");
  return Digest::is_valid(digest) ? std::string(digest) : std::string();
}

std::string index_name(const std::string& tarball) { return tarball.substr(0, tarball.size() - kSuffix.size()) + ".json"; }

void fill_image_ids(const os::Place& folder, Listing& listing) {
  os::UniqueFd indexes;
  try {
    indexes = os::open_folder(folder / kIndexFolder);
  } catch (const IoError&) {  // none, then nothing is known without reading
    return;
  }
  for (auto& [name, versions] : listing) {
    for (Version& version : versions) version.image_id = image_id_in_index(indexes.get(), index_name(version.tarball), version.size_bytes);
  }
}

os::Place place_below(const std::filesystem::path& folder, const std::filesystem::path& root) {
  const auto below = root.empty() ? std::filesystem::path() : folder.lexically_normal().lexically_relative(root.lexically_normal());
  if (below.empty() || below == "." || *below.begin() == "..") return {folder, {}};
  return {root, below};
}

}  // namespace

Share::Share(const std::filesystem::path& container_dir, const std::filesystem::path& shared_dir) : folder_(place_below(container_dir, shared_dir)), dir_(container_dir) {}

os::Place Share::index_place(const std::string& tarball) const {
  const std::string stem = tarball.ends_with(kSuffix) ? tarball.substr(0, tarball.size() - kSuffix.size()) : tarball;
  return folder_ / kIndexFolder / (stem + ".json");
}

void Share::prepare() const {
  const std::filesystem::path share = dir_.parent_path();
  struct stat st {};
  if (stat(share.c_str(), &st) != 0) {
    throw IoError(fmt::format("use the share '{}'", share.string()), errno, "Mount it, or set [paths] shared_dir to a folder that exists.");
  }
  try {
    if (folder_.below().empty() && mkdir(dir_.c_str(), 0755) != 0 && errno != EEXIST) throw IoError(fmt::format("create the folder '{}'", dir_.string()), errno, "Check the share.");
    os::make_folders_beneath(folder_ / kIndexFolder);
  } catch (const IoError& error) {
    const int number = error.error_number();
    if (number == EROFS || number == EACCES) throw IoError(fmt::format("create the folder '{}'", dir_.string()), number, kReadOnly);
    throw;
  }
  if (access(dir_.c_str(), W_OK | X_OK) != 0) {
    throw IoError(fmt::format("write to the folder '{}'", dir_.string()), errno, kReadOnly);
  }
}

Listing Share::read(bool with_image_ids, std::int64_t& youngest_ns) const {
  Listing listing;
  const bool there = os::for_each_name(folder_, [&](int folder_fd, const char* file, unsigned char type) {
    auto parsed = parse_file_name(file);
    if (!parsed) return;
    const std::uint64_t size_bytes = size_of_file(folder_fd, file, type, &youngest_ns);
    if (size_bytes > 0) listing[std::move(parsed->first)].push_back({parsed->second, file, size_bytes, {}});
  });
  if (!there) {
    throw NotFound(fmt::format("the folder of environments '{}' does not exist", dir_.string()),
                   "Check that the share is mounted and that [paths] shared_dir is right; create-tar makes the folder.");
  }
  for (auto& [name, versions] : listing) std::sort(versions.begin(), versions.end(), newer_first);
  if (with_image_ids) fill_image_ids(folder_, listing);
  return listing;
}

Listing Share::list(bool with_image_ids) const {
  std::int64_t ignored = 0;
  return read(with_image_ids, ignored);
}

std::shared_ptr<const Listing> Share::list(ListingCache& cache) const {
  const ListingCache::Stamp stamp{changed_ns(folder_), changed_ns(folder_ / kIndexFolder)};
  {
    const std::lock_guard lock(cache.mutex_);
    if (cache.listing_ && cache.stamp_ == stamp) return cache.listing_;
  }
  std::int64_t youngest_ns = std::max(stamp.archives_ns, stamp.indexes_ns);
  auto listing = std::make_shared<const Listing>(read(true, youngest_ns));
  // Two changes within one tick of the server's clock look like one, and a file that grows changes no folder.
  constexpr std::int64_t kAtRest = 5'000'000'000;
  const std::lock_guard lock(cache.mutex_);
  cache.stamp_ = stamp;
  cache.listing_ = unix_seconds(wall_now()) * 1'000'000'000 - youngest_ns > kAtRest ? listing : nullptr;
  return listing;
}

std::vector<Version> Share::versions(const EnvironmentName& name) const {
  Listing listing;
  std::vector<Version>& versions = listing[name];
  const std::string prefix = name.str() + "-";
  os::for_each_name(folder_, [&](int folder_fd, const char* file, unsigned char type) {
    if (!std::string_view(file).starts_with(prefix)) return;
    const auto parsed = parse_file_name(file);
    if (!parsed || parsed->first != name) return;
    const std::uint64_t size_bytes = size_of_file(folder_fd, file, type);
    if (size_bytes > 0) versions.push_back({parsed->second, file, size_bytes, {}});
  });
  std::sort(versions.begin(), versions.end(), newer_first);
  fill_image_ids(folder_, listing);
  return versions;
}

std::optional<Version> Share::newest(const EnvironmentName& name) const {
  auto all = versions(name);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

void Share::remove(const Version& version) const {
  // The archive first: without it there is no version, whatever else is left.
  os::unlink_beneath(place_of(version.tarball));
  os::unlink_beneath(index_place(version.tarball));
}

void Share::remove_stale_temporaries(std::int64_t age_seconds) const {
  const std::int64_t now = time(nullptr);
  for (const os::Place& folder : {folder_, folder_ / kIndexFolder}) {
    os::for_each_name(folder, [&](int folder_fd, const char* file, unsigned char) {
      if (!os::PendingFile::is_temporary_name(file)) return;
      struct stat st {};
      if (fstatat(folder_fd, file, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return;
      if (now - st.st_mtime < age_seconds) return;
      if (unlinkat(folder_fd, file, 0) == 0) log::info("environment", "removed an unfinished archive", {{"file", file}});
    });
  }
}

std::optional<std::pair<EnvironmentName, std::int64_t>> Share::parse_file_name(std::string_view file_name) {
  if (!file_name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view stem = file_name.substr(0, file_name.size() - kSuffix.size());
  const size_t dash = stem.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view digits = stem.substr(dash + 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto number = parse_u64(digits);
  if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
  const std::string_view name = stem.substr(0, dash);
  if (!EnvironmentName::is_valid(name)) return std::nullopt;
  return std::pair{EnvironmentName::parse(name), static_cast<std::int64_t>(*number)};
}

std::string Share::file_name(const EnvironmentName& name, std::int64_t timestamp) {
  return fmt::format("{}-{}{}", name.str(), timestamp, kSuffix);
}

}  // namespace riverbox::environment
