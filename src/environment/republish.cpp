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

constexpr std::uint64_t kPiece = 8u << 20;

void copy(const fs::path& from, const fs::path& to, const CancelToken& cancel) {
  const os::UniqueFd in = os::open_read(from);
  os::PendingFile out(to);
  struct stat st {};
  if (::fstat(in.get(), &st) != 0) throw IoError(fmt::format("look at '{}'", from.string()), errno);
  const auto size_bytes = static_cast<std::uint64_t>(st.st_size);
  for (std::uint64_t at = 0; at < size_bytes;) {
    cancel.check("copying an archive");
    at += os::copy_range(in.get(), out.fd(), at, std::min(kPiece, size_bytes - at), out.temporary_path());
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
