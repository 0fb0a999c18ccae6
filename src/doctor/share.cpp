// The share: how it is mounted, which asks nobody, and whether it works, which may take for ever.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "doctor/checks.hpp"
#include "os/fd.hpp"
#include "os/mounts.hpp"

namespace riverbox::doctor {
namespace {

namespace fs = std::filesystem;
using ShareClock = std::chrono::steady_clock;

constexpr unsigned long long kLongCache = 60;  // seconds: what acdirmax is without a word
constexpr std::chrono::milliseconds kSlow{500};
constexpr const char* kMakeRoom = "riverbox docker list-tars, then riverbox docker delete-tar NAME VERSION";

std::string mount_again(const os::Mount& mount, const std::string& options) {
  const std::string point = shell_quoted(mount.point);
  return fmt::format("{} && {}", as_root("umount " + point), as_root(fmt::format("mount -t {} -o {} {} {}", mount.type, options, shell_quoted(mount.source), point)));
}

// nfs(5). What cannot be changed by a remount needs a new mount.
Findings nfs_findings(const os::Mount& mount) {
  Findings out;
  if (mount.has("soft") || mount.has("softerr"))
    add(out, warning("a soft mount: when the server is slow, what is written gets lost in the middle", mount_again(mount, "hard")));
  if (mount.has("noac")) add(out, warning("noac: every look at a file asks the server", mount_again(mount, "ac")));
  for (const char* key : {"actimeo", "acdirmax", "acregmax"})
    if (const auto seconds = parse_u64(mount.value(key).value_or("0")); seconds.value_or(0) > kLongCache)
      add(out, warning(fmt::format("{}={}: a new version is seen so late here", key, *seconds), mount_again(mount, fmt::format("{}=60", key))));
  return out;
}

bool in_fstab(const fs::path& path) {
  try {
    for (const std::string& line : split(os::read_file("/etc/fstab"), '\n'))
      if (!line.starts_with('#') && (" " + line + " ").find(path.string() + " ") != std::string::npos) return true;
  } catch (const Error&) {
  }
  return false;
}

std::string mend_missing(const Situation& here, const fs::path& share) {
  const char* command = in_fstab(share) ? "mount" : here.host ? "mkdir -p" : "mount SERVER:/EXPORT";
  return as_root(fmt::format("{} {}", command, shell_quoted(share.string())));
}

struct Unlinked {
  fs::path path;
  ~Unlinked() { ::unlink(path.c_str()); }
};

// As a version is published, only smaller. Throws IoError.
std::chrono::milliseconds round_trip(const fs::path& folder) {
  const auto begin = ShareClock::now();
  const std::string text = random_hex(16);
  const Unlinked temporary{folder / (".riverbox-doctor-" + random_hex(8) + ".part")}, whole{folder / (".riverbox-doctor-" + random_hex(8))};
  os::UniqueFd fd = os::open_at(temporary.path, O_WRONLY | O_CREAT | O_EXCL);
  os::write_all(fd.get(), text, temporary.path);
  os::sync_and_close(std::move(fd), temporary.path);
  if (::rename(temporary.path.c_str(), whole.path.c_str()) != 0) throw IoError("rename " + temporary.path.string(), errno);
  os::fsync_dir(folder);
  if (os::read_file(whole.path) != text) throw BadData("what was written to " + folder.string() + " is not what is read there");
  return std::chrono::duration_cast<std::chrono::milliseconds>(ShareClock::now() - begin);
}

std::string mend_writing(const Situation& here, const fs::path& folder, int error) {
  const std::string path = shell_quoted(folder.string());
  switch (error) {
    case EROFS: return as_root("mount -o remount,rw " + shell_quoted(here.config.paths.shared_dir.string()));
    case ENOSPC:
    case EDQUOT: return kMakeRoom;
    case EPERM:
    case EACCES:
      if (::geteuid() != 0) return as_root(fmt::format("chown {} {}", here.user, path));
      return "on the server, which does not let root write: add no_root_squash to the line in /etc/exports, then exportfs -ra";
    default: return "ls -la " + path;
  }
}

Findings written(const Situation& here, const fs::path& folder) {
  try {
    const auto took = round_trip(folder);
    std::string text = fmt::format("in {} a file was written, synced, renamed and read within {} ms", folder.string(), took.count() + 1);
    if (took < kSlow) return ok(std::move(text));
    return warning(text + ", which is slow", "nfsiostat 1 5 " + shell_quoted(folder.string()));
  } catch (const IoError& error) {
    return problem(error.fact(), mend_writing(here, folder, error.error_number()));
  }
}

}  // namespace

Findings look_at_mount(const Situation& here) {
  const fs::path& share = here.config.paths.shared_dir;
  const auto mounts = os::mounts();
  const os::Mount* mount = os::mount_of(mounts, share);
  if (!mount) return {};
  Findings out;
  if (mount->type.starts_with("nfs")) out = nfs_findings(*mount);
  if (here.runner && !here.host && !mount->is_network() && here.remote_host())
    add(out, warning(fmt::format("{} is on a disk of this machine ({}): the host and other nodes do not see what tasks leave there", share.string(), mount->type),
                     as_root("mount SERVER:/EXPORT " + shell_quoted(share.string()))));
  if (out.empty()) out = ok(fmt::format("{} is on {}, mounted at {}: {}", share.string(), mount->type, mount->point, join(mount->options, ",")));
  return out;
}

Findings look_at_share(const Situation& here) {
  const fs::path& share = here.config.paths.shared_dir;
  struct stat info {};
  if (::stat(share.c_str(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT && here.config.origin_of("paths.shared_dir") == "default") return ok(share.string() + " is made at the first start");
    const std::string path = shell_quoted(share.string());
    return problem(IoError("use the share " + share.string(), error).fact(),
                   error == ESTALE || error == EIO ? fmt::format("{} && {}", as_root("umount -f -l " + path), as_root("mount " + path)) : mend_missing(here, share));
  }
  if (!S_ISDIR(info.st_mode)) return problem(fmt::format("the share {} is not a folder", share.string()), "set shared_dir below [paths] in " + here.config.file.string());
  const fs::path container_dir = here.config.container_dir();
  const bool prepared = ::stat(container_dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  Findings out = free_space("share", share, kMakeRoom);
  add(out, written(here, prepared ? container_dir : share));
  return out;
}

}  // namespace riverbox::doctor
