#include "ssh/login.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/fd.hpp"
#include "ssh/authorized_keys.hpp"

namespace riverbox::ssh {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

std::string path_for(const std::string& file, const os::User& user) { return file.starts_with("~/") ? user.home + file.substr(1) : file; }

void ignored(const std::string& path, const std::string& why) { log::warning("ssh", "a file of keys is ignored: " + why, {{"path", path}}); }

// Whoever can write the file lets themselves in, so nobody else may. Nothing that could make us wait is opened.
std::optional<std::string> trusted_text(const std::string& path, const os::User& user) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) {
    if (errno != ENOENT && errno != ENOTDIR) ignored(path, std::generic_category().message(errno));
    return std::nullopt;
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return ignored(path, "it is no regular file"), std::nullopt;
  if (info.st_uid != 0 && info.st_uid != user.uid) return ignored(path, "it belongs neither to the user nor to root"), std::nullopt;
  if (info.st_mode & (S_IWGRP | S_IWOTH)) return ignored(path, "others may write it (chmod go-w)"), std::nullopt;
  try {
    return os::read_file(fd.get(), kMaxFileBytes, path);
  } catch (const Error& error) {
    return ignored(path, error.what()), std::nullopt;
  }
}

}  // namespace

std::optional<os::User> user_for_login(const std::string& name) {
  const auto refused = [&](const std::string& why) {
    log::info("ssh", "login refused: " + why, {{"user", name}});
    return std::nullopt;
  };
  const os::User self = os::own_user();
  std::optional<os::User> user = name == self.name ? self : os::find_user(name);
  if (!user) return refused("there is no such user");
  if (self.uid != 0 && user->uid != self.uid) return refused("the server runs as " + self.name + " and cannot become another user");
  if (::access(user->shell.c_str(), X_OK) != 0) {
    // Images without bash often have it in root's line all the same.
    if (user->uid != self.uid) return refused("the shell " + user->shell + " is not there");
    user->shell = "/bin/sh";
  }
  return user;
}

bool is_authorized(const LoginRules& rules, const os::User& user, std::string_view blob) {
  for (const std::string& file : rules.key_files) {
    const std::string path = path_for(file, user);
    const auto text = trusted_text(path, user);
    if (!text) continue;
    const AuthorizedKeys known = parse_authorized_keys(*text);
    for (const IgnoredLine& line : known.ignored)
      log::warning("ssh", "a line of keys is ignored: " + line.why, {{"path", path}, {"line", std::to_string(line.line)}});
    if (std::any_of(known.keys.begin(), known.keys.end(), [&](const AuthorizedKey& key) { return key.blob == blob; })) return true;
  }
  return false;
}

}  // namespace riverbox::ssh
