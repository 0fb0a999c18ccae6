#include "os/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::os {
namespace {

constexpr std::string_view kPrefix = ".riverbox-";
constexpr std::string_view kSuffix = ".part";
constexpr size_t kMaxFileName = 255;  // NAME_MAX everywhere we care about

std::filesystem::path temporary_name(const std::filesystem::path& final_path) {
  const std::string unique = fmt::format(".{}.{}", ::getpid(), random_hex(6));
  const std::string name = final_path.filename().string();
  const size_t room = kMaxFileName - kPrefix.size() - unique.size() - kSuffix.size();
  return final_path.parent_path() / fmt::format("{}{}{}{}", kPrefix, std::string_view(name).substr(0, room), unique, kSuffix);
}

}  // namespace

PendingFile::PendingFile(const Place& final_place, mode_t mode)
    : final_(final_place.path()), temporary_(temporary_name(final_)), folder_(open_folder(final_place.parent())) {
  do {
    fd_.reset(::openat(folder_.get(), temporary_.filename().c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  } while (!fd_ && errno == EINTR);  // NFS mounted with intr
  if (!fd_) throw IoError(fmt::format("create {}", temporary_.string()), errno, errno == ENOSPC || errno == EDQUOT ? "Free some space and try again." : "");
}

PendingFile::~PendingFile() {
  if (!published_) ::unlinkat(folder_.get(), temporary_.filename().c_str(), 0);  // while the descriptor is open: nobody else can have the name
}

void PendingFile::sync() { sync_to_disk(fd_.get(), temporary_); }

void PendingFile::publish() {
  struct stat ours {};
  if (::fstat(fd_.get(), &ours) != 0) throw IoError("examine " + temporary_.string(), errno);
  sync_and_close(std::move(fd_), final_);
  const std::string from = temporary_.filename().string(), to = final_.filename().string();
  if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) != 0) {
    const int error = errno;
    // An NFS server that restarts may have done the rename and lost its reply; the repeated call then finds no source.
    struct stat there {};
    const bool done = error == ENOENT && ::fstatat(folder_.get(), to.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
    if (!done) throw IoError(fmt::format("rename {} to {}", temporary_.string(), final_.string()), error);
  }
  published_ = true;
  fsync_folder(folder_.get(), final_.parent_path());
}

bool PendingFile::is_temporary_name(std::string_view file_name) {
  return file_name.size() > kPrefix.size() + kSuffix.size() && file_name.starts_with(kPrefix) && file_name.ends_with(kSuffix);
}

void write_atomically(const Place& place, std::string_view bytes, mode_t mode) {
  PendingFile file(place, mode);
  write_all(file.fd(), bytes, file.temporary_path());
  file.publish();
}

}  // namespace riverbox::os
