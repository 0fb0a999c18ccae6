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

constexpr std::chrono::minutes kRenewal{1};
constexpr const char* kLeaseAdvice = "Check the share and its permissions.";

os::Place folder_of(const Share& share) { return share.folder() / ".riverbox" / "leases"; }

// All may make leases there, as in /tmp: runners of other users read the same share.
os::UniqueFd make_folder(const os::Place& folder) {
  const bool is_new = !os::stat_beneath(folder);
  if (is_new) os::make_folders_beneath(folder);
  os::UniqueFd fd = os::open_folder(folder);
  if (is_new) ::fchmod(fd.get(), 01777);
  return fd;
}

os::UniqueFd create_in(int folder, const std::string& name, mode_t mode) {
  return os::UniqueFd(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
}

// The modification time that the server of the share gives a file now.
std::int64_t second_of_the_share(int folder) {
  const std::string probe = ".now-" + random_hex(8);
  const os::UniqueFd fd = create_in(folder, probe, 0600);
  struct stat st {};
  const bool known = fd.get() >= 0 && ::write(fd.get(), "\n", 1) == 1 && ::fsync(fd.get()) == 0 && ::fstat(fd.get(), &st) == 0;
  const int error = errno;
  ::unlinkat(folder, probe.c_str(), 0);
  if (!known) throw IoError(fmt::format("ask the share for its time with '{}'", probe), error, kLeaseAdvice);
  return st.st_mtime;
}

}  // namespace

Lease::Lease(const Share& share, const std::string& tarball) noexcept {
  try {
    const os::Place folder = folder_of(share);
    os::UniqueFd fd = make_folder(folder);
    const std::string name = fmt::format("{}.{}-{}.{}", tarball, os::host_name(), ::getpid(), random_hex(4));
    if (!create_in(fd.get(), name, 0644)) throw IoError(fmt::format("create the lease '{}'", (folder / name).path().string()), errno, kLeaseAdvice);
    folder_ = std::move(fd);
    name_ = name;
    renewed_ = std::chrono::steady_clock::now();
  } catch (const std::exception& error) {
    log::debug("environment", "reading without a lease", {{"archive", tarball}, {"reason", error.what()}});
  }
}

Lease::~Lease() {
  if (folder_) ::unlinkat(folder_.get(), name_.c_str(), 0);
}

void Lease::renew() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (!folder_ || now - renewed_ < kRenewal) return;
  renewed_ = now;
  ::utimensat(folder_.get(), name_.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // without times: the server takes its own
}

std::optional<std::string> lease_holder(const Share& share, const std::string& tarball) {
  std::optional<std::string> holder;
  std::optional<std::int64_t> now;
  os::for_each_name(folder_of(share), [&](int folder, std::string_view file, unsigned char) {
    if (holder || !file.starts_with(tarball + ".")) return;
    const std::string name(file);
    struct stat st {};
    if (::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return;  // given back
    if (!now) now = second_of_the_share(folder);
    if (*now - st.st_mtime > std::chrono::seconds(kLeaseTime).count()) ::unlinkat(folder, name.c_str(), 0);
    else holder = name.substr(tarball.size() + 1, name.rfind('.') - tarball.size() - 1);
  });
  return holder;
}

}  // namespace riverbox::environment
