#include "os/users.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"

namespace riverbox::os {
namespace {

bool is_folder_of_root() { return ::access("/root", X_OK) == 0; }

User root() { return {"root", 0, 0, is_folder_of_root() ? "/root" : "/", "/bin/sh"}; }

User user_of(const passwd& entry) {
  return {entry.pw_name, entry.pw_uid, entry.pw_gid, *entry.pw_dir ? entry.pw_dir : "/", *entry.pw_shell ? entry.pw_shell : "/bin/sh"};
}

}  // namespace

std::optional<User> find_user(const std::string& name) {
  if (const passwd* entry = ::getpwnam(name.c_str())) return user_of(*entry);
  if (name == "root" && ::access("/etc/passwd", F_OK) != 0) return root();
  return std::nullopt;
}

User own_user() {
  const uid_t uid = ::geteuid();
  if (const passwd* entry = ::getpwuid(uid)) return user_of(*entry);
  if (uid == 0) return root();
  return {std::to_string(uid), uid, ::getegid(), "/", "/bin/sh"};
}

void become_user(const User& user) {
  if (user.uid == ::geteuid()) return;
  // A container without /etc/group has no groups but the user's own.
  if (::initgroups(user.name.c_str(), user.gid) != 0 && ::setgroups(1, &user.gid) != 0) throw IoError("take the groups of " + user.name, errno);
  if (::setgid(user.gid) != 0 || ::setuid(user.uid) != 0) throw IoError("become " + user.name, errno);
  if (user.uid != 0 && ::setuid(0) == 0) throw InternalError("became " + user.name + ", but not for good");
}

}  // namespace riverbox::os
