// What only its owner may read: tokens, and the state folder, which also must not lie where SQLite cannot lock.
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "doctor/checks.hpp"
#include "net/security.hpp"
#include "os/mounts.hpp"
#include "runner/joining.hpp"

namespace riverbox::doctor {
namespace {

namespace fs = std::filesystem;

std::string command_of(const Error& error) {
  constexpr std::string_view kRun = "Run: ";
  const std::string& next = error.next();
  return next.starts_with(kRun) ? next.substr(kRun.size()) : next;
}

// `when_missing`: what is said then; empty: nothing.
Findings token_file(const fs::path& file, const std::string& when_missing) {
  try {
    if (net::read_token_file(file)) return ok(file.string() + " is its owner's alone");
  } catch (const Error& error) {
    return problem(error.fact(), command_of(error));
  }
  return when_missing.empty() ? Findings() : ok(when_missing);
}

bool on_network(const os::Mount& mount) { return mount.type.starts_with("nfs") || mount.type.starts_with("cifs") || mount.type.starts_with("smb"); }

std::string owner_of(const struct stat& info) {
  const passwd* entry = ::getpwuid(info.st_uid);
  return entry ? entry->pw_name : std::to_string(info.st_uid);
}

}  // namespace

Findings look_at_token(const Situation& here) {
  Findings out;
  if (here.runner) out = token_file(runner::own_token_file(here.config), "");
  if (!here.config.security.token.empty()) return out;  // the file is not looked at by anybody
  add(out, token_file(here.config.security.token_file, here.host ? here.config.security.token_file.string() + " is made at the first start of the host" : ""));
  return out;
}

Findings look_at_state(const Situation& here) {
  const fs::path& folder = here.config.paths.state_dir;
  const std::string quoted = shell_quoted(folder.string());
  Findings out;
  const auto mounts = os::mounts();
  if (const os::Mount* mount = os::mount_of(mounts, folder); mount && on_network(*mount))
    out = problem(fmt::format("the state folder {} is on {}, where no database is safe", folder.string(), mount->type),
                  "set state_dir below [paths] to a folder on a disk of this machine, or: export RIVERBOX_PATHS_STATE_DIR=/var/lib/riverbox");
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    if (errno != ENOENT) return problem(IoError("look at the state folder " + folder.string(), errno).fact(), as_root("ls -ld " + quoted));
    return out.empty() ? ok(folder.string() + " is made at the first start") : out;
  }
  if (::access(folder.c_str(), R_OK | W_OK | X_OK) != 0)
    add(out, problem(fmt::format("the state folder {} belongs to {}, and {} cannot write there", folder.string(), owner_of(info), here.user), as_root(fmt::format("chown -R {} {}", here.user, quoted))));
  if (info.st_mode & 077)
    add(out, warning("others may look into the state folder " + folder.string(), (info.st_uid == ::geteuid() ? "" : as_root("")) + "chmod 700 " + quoted));
  return out.empty() ? free_space("state in " + folder.string(), folder, "riverbox config show | grep retention") : out;
}

}  // namespace riverbox::doctor
