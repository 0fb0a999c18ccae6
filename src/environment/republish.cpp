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

constexpr std::uint64_t kPiece = 8u << 20;

void copy(const os::Place& from, const os::Place& to, const CancelToken& cancel) {
  const os::UniqueFd in = open_archive_file(from);
  os::PendingFile out(to);
  struct stat st {};
  if (::fstat(in.get(), &st) != 0) throw IoError(fmt::format("look at '{}'", from.path().string()), errno);
  const auto size_bytes = static_cast<std::uint64_t>(st.st_size);
  for (std::uint64_t at = 0; at < size_bytes;) {
    cancel.check("copying an archive");
    at += os::copy_range(in.get(), out.fd(), at, std::min(kPiece, size_bytes - at), out.temporary_path());
  }
  out.publish();
}

}  // namespace

Version republish(const Share& share, const EnvironmentName& name, const Version& version, const SignVersion& sign, const CancelToken& cancel) {
  const os::Place old_place = share.place_of(version.tarball);
  Archive archive = read_archive(old_place);  // damaged: nobody shall get it as the newest one
  const auto newest = share.newest(name);
  const std::int64_t timestamp = std::max(unix_seconds(wall_now()), newest ? newest->timestamp + 1 : 0);
  Version again{timestamp, Share::file_name(name, timestamp), archive.size_bytes, archive.config_digest};
  const os::Place new_place = share.place_of(again.tarball);
  const auto exists = [&] { return Conflict(fmt::format("'{}' exists already", again.tarball), "Try again."); };
  if (os::stat_beneath(new_place)) throw exists();
  if (sign) archive.signature = sign(timestamp, archive);
  try {  // before the archive, so that nobody sees it without its signature
    write_index(share.index_place(again.tarball), archive);
  } catch (const IoError& error) {  // it is read from the archive then, in which there is no signature
    if (archive.signature) throw;
    log::warning("environment", "cannot write the index of an archive", {{"archive", again.tarball}, {"reason", error.what()}});
  }
  const os::UniqueFd folder = os::open_folder(share.folder());
  if (::linkat(folder.get(), version.tarball.c_str(), folder.get(), again.tarball.c_str(), 0) != 0) {
    if (errno == EEXIST) throw exists();
    try {
      copy(old_place, new_place, cancel);
    } catch (...) {
      os::unlink_beneath(share.index_place(again.tarball));
      throw;
    }
  }
  os::fsync_folder(folder.get(), share.dir());
  return again;
}

}  // namespace riverbox::environment
