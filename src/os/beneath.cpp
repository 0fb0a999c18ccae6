#include "os/beneath.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "base/error.hpp"

namespace riverbox::os {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 100;  // a rename on the way lets openat2 ask for another try

std::atomic<bool> no_openat2 = false;

[[noreturn]] void fail_beneath(const char* verb, const Place& place, int error) {
  const char* next = error == ELOOP ? "Beneath the shared folder no symbolic link is followed: put the file itself there, or mount its folder there (mount --bind)." : "Check the share and its permissions.";
  throw IoError(fmt::format("{} '{}'", verb, place.path().string()), error, next);
}

bool climbs(const fs::path& below) {
  if (below.is_absolute() || below.native().find('\0') != std::string::npos) return true;
  for (const fs::path& name : below)
    if (name == "..") return true;
  return false;
}

// A link where a folder should be is ENOTDIR for the kernel: say that it is a link.
int reason_at(int folder, const char* name, int error) {
  struct stat st {};
  return error == ENOTDIR && ::fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) ? ELOOP : error;
}

// Each folder is opened in the one before, so a name that is exchanged meanwhile leads nowhere else.
int open_step_by_step(int root, const fs::path& below, int flags, mode_t mode) {
  UniqueFd folder;
  int at = root;
  for (auto name = below.begin();;) {
    const fs::path now = *name++;
    const bool last = name == below.end() || name->empty();
    const int fd = ::openat(at, now.c_str(), last ? flags : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) errno = reason_at(at, now.c_str(), errno);
    if (last || fd < 0) return fd;
    folder.reset(fd);
    at = fd;
  }
}

int open_below(int root, const fs::path& below, int flags, mode_t mode) {
  flags |= O_CLOEXEC | O_NOFOLLOW;
  if (!no_openat2.load(std::memory_order_relaxed)) {
    open_how how{};
    how.flags = static_cast<unsigned>(flags);
    how.mode = flags & O_CREAT ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    for (int tries = 0;; ++tries) {
      const long fd = ::syscall(SYS_openat2, root, below.c_str(), &how, sizeof how);
      if (fd >= 0) return static_cast<int>(fd);
      if (errno == EINTR || (errno == EAGAIN && tries < kTries)) continue;
      if (errno != ENOSYS && errno != EPERM && errno != ENOTDIR) return -1;
      break;
    }
    if (errno == ENOSYS) no_openat2 = true;  // EPERM may be a filter's answer or the file's, ENOTDIR a link's
  }
  int fd = -1;
  do {
    fd = open_step_by_step(root, below, flags, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

UniqueFd open_root(const Place& place) {
  for (;;) {
    UniqueFd fd(::open(place.root().empty() ? "." : place.root().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (fd || errno != EINTR) return fd;
  }
}

// Without a descriptor and with errno when that fails.
UniqueFd try_open(const Place& place, int flags, mode_t mode) {
  if (climbs(place.below())) {
    errno = EXDEV;
    return {};
  }
  if (place.below().empty()) return UniqueFd(::open(place.root().empty() ? "." : place.root().c_str(), flags | O_CLOEXEC));
  const UniqueFd root = open_root(place);
  return root ? UniqueFd(open_below(root.get(), place.below(), flags, mode)) : UniqueFd();
}

// The folder in which the name is to be looked at or changed.
UniqueFd try_parent(const Place& place) {
  if (!climbs(place.below())) return try_open(place.parent(), O_PATH | O_DIRECTORY, 0);
  errno = EXDEV;
  return {};
}

bool is_absence(int error) { return error == ENOENT || error == ENOTDIR; }

}  // namespace

Place::Place(fs::path path) : root_(path.parent_path()), below_(path.filename()) {}

UniqueFd open_beneath(const Place& place, int flags, mode_t mode) {
  const bool any_kind = flags & (O_DIRECTORY | O_PATH);
  UniqueFd fd = try_open(place, any_kind ? flags : flags | O_NONBLOCK, mode);
  const auto refuse = [&] { return Conflict(place.path().string() + " is not a regular file", "Something else lies in the place of a file: look at it, and remove it."); };
  if (!fd && errno == ENXIO) throw refuse();  // a FIFO that nobody reads
  if (!fd) fail_beneath(flags & O_CREAT ? "create" : "open", place, errno);
  if (any_kind) return fd;
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) fail_beneath("examine", place, errno);
  if (!S_ISREG(st.st_mode)) throw refuse();
  return fd;
}

UniqueFd open_folder(const Place& folder) { return open_beneath(folder, O_RDONLY | O_DIRECTORY); }

std::string read_beneath(const Place& file, size_t max_bytes) {
  const UniqueFd fd = open_beneath(file, O_RDONLY);
  return read_file(fd.get(), max_bytes, file.path());
}

std::optional<struct stat> stat_beneath(const Place& place) {
  struct stat st {};
  const UniqueFd folder = try_parent(place);
  if (folder && ::fstatat(folder.get(), place.name().c_str(), &st, AT_SYMLINK_NOFOLLOW | (place.below().empty() ? AT_EMPTY_PATH : 0)) == 0) return st;
  if (is_absence(errno)) return std::nullopt;
  fail_beneath("look at", place, errno);
}

bool unlink_beneath(const Place& file) {
  const UniqueFd folder = try_parent(file);
  if (folder && ::unlinkat(folder.get(), file.name().c_str(), 0) == 0) return true;
  if (is_absence(errno)) return false;
  fail_beneath("remove", file, errno);
}

bool remove_folder_beneath(const Place& folder) {
  const UniqueFd parent = try_parent(folder);
  return parent && ::unlinkat(parent.get(), folder.name().c_str(), AT_REMOVEDIR) == 0;
}

void make_folders_beneath(const Place& folder, mode_t mode) {
  if (folder.below().empty()) return;
  UniqueFd at = open_root(folder);
  if (!at) fail_beneath("open", {folder.root(), {}}, errno);
  if (climbs(folder.below())) fail_beneath("create the folder", folder, EXDEV);
  Place so_far{folder.root(), {}};
  for (const fs::path& name : folder.below()) {
    if (name.empty()) continue;
    so_far = so_far / name;
    if (::mkdirat(at.get(), name.c_str(), mode) != 0 && errno != EEXIST) fail_beneath("create the folder", so_far, errno);
    UniqueFd next(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) fail_beneath("create the folder", so_far, reason_at(at.get(), name.c_str(), errno));
    at = std::move(next);
  }
}

bool for_each_name(const Place& folder, const std::function<void(int, const char*, unsigned char)>& visit) {
  UniqueFd fd = try_open(folder, O_RDONLY | O_DIRECTORY, 0);
  if (!fd && is_absence(errno)) return false;
  DIR* const names = fd ? ::fdopendir(fd.get()) : nullptr;
  if (!names) fail_beneath("read the folder", folder, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> closing(names, ::closedir);
  const int number = fd.release();
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(names);
    if (!entry) break;
    visit(number, entry->d_name, entry->d_type);
  }
  if (errno != 0) fail_beneath("read the folder", folder, errno);
  return true;
}

void walk_step_by_step(bool on) { no_openat2 = on; }

}  // namespace riverbox::os
