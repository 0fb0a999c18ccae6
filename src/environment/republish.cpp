#include "environment/republish.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "environment/archive.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 8u << 20;
constexpr const char* kSpaceAdvice = "Check the space and the permissions of the share.";

// The kernel copies where it can do it without reading; else by hand.
void copy(const fs::path& from, const fs::path& to, const CancelToken& cancel) {
  const os::UniqueFd in = os::open_read(from);
  os::PendingFile out(to);
  struct stat st {};
  if (::fstat(in.get(), &st) != 0) throw IoError(fmt::format("look at '{}'", from.string()), errno);
  for (off_t at = 0; at < st.st_size;) {
    cancel.check("copying an archive");
    off_t source = at, target = at;
    const ssize_t n = ::copy_file_range(in.get(), &source, out.fd(), &target, kPiece, 0);
    if (n > 0) {
      at += n;
      continue;
    }
    const std::string bytes = os::pread_exact(in.get(), std::min(kPiece, static_cast<size_t>(st.st_size - at)), at, from);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t written = ::pwrite(out.fd(), bytes.data() + done, bytes.size() - done, at + static_cast<off_t>(done));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) throw IoError(fmt::format("write '{}'", out.temporary_path().string()), errno, kSpaceAdvice);
      done += static_cast<size_t>(written);
    }
    at += static_cast<off_t>(bytes.size());
  }
  out.publish(to);
}

}  // namespace

Version republish(const Share& share, const EnvironmentName& name, const Version& version, const CancelToken& cancel) {
  const fs::path old_path = share.path_of(version.tarball);
  const Archive archive = read_archive(old_path);  // damaged: nobody shall get it as the newest one
  const auto newest = share.newest(name);
  const std::int64_t timestamp = std::max(unix_seconds(wall_now()), newest ? newest->timestamp + 1 : 0);
  Version again{timestamp, Share::file_name(name, timestamp), archive.size_bytes, archive.config_digest};
  const fs::path new_path = share.path_of(again.tarball);
  if (::link(old_path.c_str(), new_path.c_str()) != 0) {
    if (errno == EEXIST) throw Conflict(fmt::format("'{}' exists already", again.tarball), "Try again.");
    copy(old_path, new_path, cancel);
  }
  os::fsync_dir(share.dir());
  try {
    write_index(share.index_path(again.tarball), archive);
  } catch (const IoError& error) {  // it is read from the archive then
    log::warning("environment", "cannot write the index of an archive", {{"archive", again.tarball}, {"reason", error.what()}});
  }
  return again;
}

}  // namespace riverbox::environment
