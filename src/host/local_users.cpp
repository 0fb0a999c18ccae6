#include "host/local_users.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "host/tokens.hpp"

namespace riverbox::host {
namespace {

constexpr size_t kMaxEntryBytes = 16 << 20;  // a group lists its members

// What `look_up` finds, with a buffer that is large enough for it.
template <typename Entry, typename LookUp>
std::optional<Entry> found_by(const LookUp& look_up, std::string& buffer) {
  for (buffer.resize(4096); buffer.size() <= kMaxEntryBytes; buffer.resize(4 * buffer.size())) {
    Entry entry{}, *found = nullptr;
    const int error = look_up(&entry, buffer.data(), buffer.size(), &found);
    if (error != ERANGE) return found ? std::optional(entry) : std::nullopt;
  }
  return std::nullopt;
}

// By name or number; users of a directory service that a static program cannot ask are known by their number.
template <typename Id, typename Entry, typename LookUp, typename Member>
Id id_of(const std::string& name, const char* kind, const LookUp& look_up, Member member) {
  if (const auto number = parse_u64(name); number && *number < 0xFFFFFFFF) return static_cast<Id>(*number);
  std::string buffer;
  const auto entry = found_by<Entry>([&](auto... rest) { return look_up(name.c_str(), rest...); }, buffer);
  if (!entry) throw InvalidInput("this machine knows no " + std::string(kind) + " '" + printable(name, 60) + "'", "Where only a directory service knows the name, write the number.");
  return (*entry).*member;
}

}  // namespace

LocalUsers::Rule LocalUsers::parse(const std::string& text) {
  const size_t colon = text.rfind(':');
  const std::string name = text.substr(0, colon);
  if (colon == std::string::npos || name.empty() || name == "@") throw InvalidInput("it must be \"NAME:ROLE\", \"@GROUP:ROLE\" or \"*:ROLE\"");
  Rule rule{{}, {}, parse_role(text.substr(colon + 1))};
  if (name.starts_with('@')) rule.group = id_of<gid_t, group>(name.substr(1), "group", getgrnam_r, &group::gr_gid);
  else if (name != "*") rule.user = id_of<uid_t, passwd>(name, "user", getpwnam_r, &passwd::pw_uid);
  return rule;
}

LocalUsers::LocalUsers(const std::vector<std::string>& rules) {
  for (const std::string& text : rules) {
    try {
      rules_.push_back(parse(text));
    } catch (const InvalidInput& error) {
      throw ConfigError("security.local_users: \"" + printable(text, 100) + "\": " + error.fact(), error.next());
    }
  }
}

bool LocalUsers::Rule::fits(uid_t uid, const std::vector<gid_t>& groups) const {
  if (user) return *user == uid;
  return !group || std::find(groups.begin(), groups.end(), *group) != groups.end();
}

std::optional<Identity> LocalUsers::find(uid_t uid, const std::vector<gid_t>& groups) const {
  if (uid == 0 || uid == ::geteuid()) return Identity{kAdministrator, Role::admin};
  std::optional<Role> highest;
  for (const Rule& rule : rules_)
    if (rule.fits(uid, groups) && (!highest || rule.role > *highest)) highest = rule.role;
  if (!highest) return std::nullopt;
  const std::string name = name_of(uid);
  // The tasks of "admin" are the administrator's.
  if (name == kAdministrator && *highest != Role::admin) return std::nullopt;
  return Identity{name, *highest};
}

bool LocalUsers::may_come(const std::string& name) const {
  std::string buffer;
  const auto entry = found_by<passwd>([&](auto... rest) { return getpwnam_r(name.c_str(), rest...); }, buffer);
  if (!entry) return false;
  int count = 64;
  std::vector<gid_t> groups(static_cast<size_t>(count));
  if (::getgrouplist(name.c_str(), entry->pw_gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<size_t>(count));
    ::getgrouplist(name.c_str(), entry->pw_gid, groups.data(), &count);
  }
  groups.resize(static_cast<size_t>(count));
  const auto identity = find(entry->pw_uid, groups);
  return identity && identity->name == name;
}

std::string LocalUsers::name_of(uid_t uid) const {
  const std::lock_guard lock(mutex_);
  auto& name = names_[uid];
  if (!name.empty()) return name;
  std::string buffer;
  const auto entry = found_by<passwd>([uid](auto... rest) { return getpwuid_r(uid, rest...); }, buffer);
  return name = entry ? entry->pw_name : std::to_string(uid);
}

}  // namespace riverbox::host
