#include "environment/leases.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"

namespace riverbox::environment {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kRenewal{1};
constexpr const char* kLeaseAdvice = "Check the share and its permissions.";

fs::path folder_of(const Share& share) { return share.dir() / ".riverbox" / "leases"; }

// All may make leases there, as in /tmp: runners of other users read the same share.
void make_folder(const fs::path& folder) {
  for (const fs::path& each : {folder.parent_path(), folder}) {
    if (::mkdir(each.c_str(), 0755) == 0) {
      if (each == folder) ::chmod(each.c_str(), 01777);
    } else if (errno != EEXIST) {
      throw IoError(fmt::format("create the folder '{}'", each.string()), errno, kLeaseAdvice);
    }
  }
}

// The modification time that the server of the share gives a file now.
std::int64_t second_of_the_share(const fs::path& folder) {
  const fs::path probe = folder / fmt::format(".now-{}", random_hex(8));
  const os::UniqueFd fd(::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat st {};
  const bool known = fd.get() >= 0 && ::write(fd.get(), "\n", 1) == 1 && ::fsync(fd.get()) == 0 && ::fstat(fd.get(), &st) == 0;
  const int error = errno;
  ::unlink(probe.c_str());
  if (!known) throw IoError(fmt::format("ask the share for its time at '{}'", probe.string()), error, kLeaseAdvice);
  return st.st_mtime;
}

}  // namespace

Lease::Lease(const Share& share, const std::string& tarball) noexcept {
  try {
    const fs::path folder = folder_of(share);
    make_folder(folder);
    const fs::path path = folder / fmt::format("{}.{}-{}.{}", tarball, os::host_name(), ::getpid(), random_hex(4));
    const os::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (fd.get() < 0) throw IoError(fmt::format("create the lease '{}'", path.string()), errno, kLeaseAdvice);
    path_ = path;
    renewed_ = std::chrono::steady_clock::now();
  } catch (const std::exception& error) {
    log::debug("environment", "reading without a lease", {{"archive", tarball}, {"reason", error.what()}});
  }
}

Lease::~Lease() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Lease::renew() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (path_.empty() || now - renewed_ < kRenewal) return;
  renewed_ = now;
  ::utimensat(AT_FDCWD, path_.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // without times: the server takes its own
}

std::optional<std::string> lease_holder(const Share& share, const std::string& tarball) {
  const fs::path folder = folder_of(share);
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return std::nullopt;
  if (error) throw IoError(fmt::format("read the folder '{}'", folder.string()), error.value(), kLeaseAdvice);
  std::optional<std::int64_t> now;
  for (const auto& entry : entries) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(tarball + ".")) continue;
    struct stat st {};
    if (::lstat(entry.path().c_str(), &st) != 0) continue;  // given back
    if (!now) now = second_of_the_share(folder);
    if (*now - st.st_mtime > std::chrono::seconds(kLeaseTime).count()) {
      ::unlink(entry.path().c_str());
      continue;
    }
    return file.substr(tarball.size() + 1, file.rfind('.') - tarball.size() - 1);
  }
  return std::nullopt;
}

}  // namespace riverbox::environment
