#include "environment/share.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <functional>
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

class Directory {
public:
  explicit Directory(const std::filesystem::path& path) : handle_(opendir(path.c_str())), error_(errno) {}
  ~Directory() {
    if (handle_) closedir(handle_);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  explicit operator bool() const { return handle_ != nullptr; }
  int error() const { return error_; }
  int fd() const { return dirfd(handle_); }
  // Null at the end.
  const dirent* next() {
    errno = 0;
    return readdir(handle_);
  }

private:
  DIR* handle_;
  int error_;
};

// Calls `visit(directory, entry)` for every name. False: there is no such folder.
bool for_each_entry(const std::filesystem::path& path, const std::function<void(Directory&, const dirent&)>& visit) {
  Directory directory(path);
  if (!directory) {
    if (directory.error() == ENOENT || directory.error() == ENOTDIR) return false;
    throw IoError(fmt::format("read the folder '{}'", path.string()), directory.error(), "Check the share and its permissions.");
  }
  while (const dirent* entry = directory.next()) visit(directory, *entry);
  if (errno != 0) throw IoError(fmt::format("read the folder '{}'", path.string()), errno, "Check that the share is mounted and answers.");
  return true;
}

std::int64_t changed_ns(const struct stat& st) { return static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec; }

// Of a folder; 0: there is none.
std::int64_t changed_ns(const std::filesystem::path& folder) {
  struct stat st {};
  return stat(folder.c_str(), &st) == 0 ? changed_ns(st) : 0;
}

// The size if it is a regular file (links count as what they lead to) with something in it, else 0.
std::uint64_t size_of_file(const Directory& directory, const dirent& entry, std::int64_t* youngest_ns = nullptr) {
  if (entry.d_type != DT_REG && entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return 0;
  struct stat st {};
  if (fstatat(directory.fd(), entry.d_name, &st, 0) != 0 || !S_ISREG(st.st_mode)) return 0;
  if (youngest_ns) *youngest_ns = std::max(*youngest_ns, changed_ns(st));
  return static_cast<std::uint64_t>(st.st_size);
}

bool newer_first(const Version& a, const Version& b) {
  return a.timestamp != b.timestamp ? a.timestamp > b.timestamp : a.tarball < b.tarball;
}

// The digest of an index without parsing it: for listings, where a wrong one would only be a wrong line on a screen. The keys
// come in the order of writing (archive_index.cpp); the size ties the index to this file.
std::string image_id_in_index(int folder_fd, const std::string& file_name, std::uint64_t tar_size_bytes) {
  const os::UniqueFd fd(openat(folder_fd, file_name.c_str(), O_RDONLY | O_CLOEXEC));
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

void fill_image_ids(const std::filesystem::path& dir, Listing& listing) {
  const os::UniqueFd folder(open((dir / kIndexFolder).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return;
  for (auto& [name, versions] : listing) {
    for (Version& version : versions) version.image_id = image_id_in_index(folder.get(), index_name(version.tarball), version.size_bytes);
  }
}

void unlink_if_there(const std::filesystem::path& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return;
  throw IoError(fmt::format("remove '{}'", path.string()), errno, "Check the permissions of the share.");
}

}  // namespace

std::filesystem::path Share::index_path(const std::string& tarball) const {
  const std::string stem = tarball.ends_with(kSuffix) ? tarball.substr(0, tarball.size() - kSuffix.size()) : tarball;
  return dir_ / kIndexFolder / (stem + ".json");
}

void Share::prepare() const {
  const std::filesystem::path share = dir_.parent_path();
  struct stat st {};
  if (stat(share.c_str(), &st) != 0) {
    throw IoError(fmt::format("use the share '{}'", share.string()), errno, "Mount it, or set [paths] shared_dir to a folder that exists.");
  }
  for (const std::filesystem::path& folder : {dir_, dir_ / kIndexFolder}) {
    if (mkdir(folder.c_str(), 0755) == 0) continue;
    const int error = errno;
    if (error == EEXIST && stat(folder.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) continue;
    throw IoError(fmt::format("create the folder '{}'", folder.string()), error == EEXIST ? ENOTDIR : error,
                  error == EROFS || error == EACCES ? "The share is read-only for this user: mount it writable on the host." : "Check the share.");
  }
  if (access(dir_.c_str(), W_OK | X_OK) != 0) {
    throw IoError(fmt::format("write to the folder '{}'", dir_.string()), errno, "The share is read-only for this user: mount it writable on the host.");
  }
}

Listing Share::read(bool with_image_ids, std::int64_t& youngest_ns) const {
  Listing listing;
  const bool there = for_each_entry(dir_, [&](Directory& directory, const dirent& entry) {
    auto parsed = parse_file_name(entry.d_name);
    if (!parsed) return;
    const std::uint64_t size_bytes = size_of_file(directory, entry, &youngest_ns);
    if (size_bytes > 0) listing[std::move(parsed->first)].push_back({parsed->second, entry.d_name, size_bytes, {}});
  });
  if (!there) {
    throw NotFound(fmt::format("the folder of environments '{}' does not exist", dir_.string()),
                   "Check that the share is mounted and that [paths] shared_dir is right; create-tar makes the folder.");
  }
  for (auto& [name, versions] : listing) std::sort(versions.begin(), versions.end(), newer_first);
  if (with_image_ids) fill_image_ids(dir_, listing);
  return listing;
}

Listing Share::list(bool with_image_ids) const {
  std::int64_t ignored = 0;
  return read(with_image_ids, ignored);
}

std::shared_ptr<const Listing> Share::list(ListingCache& cache) const {
  const ListingCache::Stamp stamp{changed_ns(dir_), changed_ns(dir_ / kIndexFolder)};
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
  for_each_entry(dir_, [&](Directory& directory, const dirent& entry) {
    if (!std::string_view(entry.d_name).starts_with(prefix)) return;
    const auto parsed = parse_file_name(entry.d_name);
    if (!parsed || parsed->first != name) return;
    const std::uint64_t size_bytes = size_of_file(directory, entry);
    if (size_bytes > 0) versions.push_back({parsed->second, entry.d_name, size_bytes, {}});
  });
  std::sort(versions.begin(), versions.end(), newer_first);
  fill_image_ids(dir_, listing);
  return versions;
}

std::optional<Version> Share::newest(const EnvironmentName& name) const {
  auto all = versions(name);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

void Share::remove(const Version& version) const {
  // The archive first: without it there is no version, whatever else is left.
  unlink_if_there(path_of(version.tarball));
  unlink_if_there(index_path(version.tarball));
}

void Share::remove_stale_temporaries(std::int64_t age_seconds) const {
  const std::int64_t now = time(nullptr);
  for (const std::filesystem::path& folder : {dir_, dir_ / kIndexFolder}) {
    for_each_entry(folder, [&](Directory& directory, const dirent& entry) {
      if (!os::PendingFile::is_temporary_name(entry.d_name)) return;
      struct stat st {};
      if (fstatat(directory.fd(), entry.d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return;
      if (now - st.st_mtime < age_seconds) return;
      if (unlinkat(directory.fd(), entry.d_name, 0) == 0) log::info("environment", "removed an unfinished archive", {{"file", entry.d_name}});
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
