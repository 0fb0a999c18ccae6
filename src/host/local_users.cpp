#include "host/local_users.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "host/tokens.hpp"

namespace riverbox::host {
namespace {

// Users of a directory service that a static program cannot ask have no name here; their number stands for it.
std::string name_of(uid_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{}, *found = nullptr;
  return ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found ? found->pw_name : std::to_string(uid);
}

std::string name_of_group(gid_t gid) {
  std::array<char, 65536> buffer;  // its members are in it
  group entry{}, *found = nullptr;
  return ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found ? found->gr_name : std::to_string(gid);
}

}  // namespace

LocalUsers::LocalUsers(const std::vector<std::string>& rules) {
  for (const std::string& text : rules) {
    const size_t colon = text.rfind(':');
    std::string name = text.substr(0, colon);
    try {
      if (colon == std::string::npos || name.empty() || name == "@") throw InvalidInput("it must be \"NAME:ROLE\", \"@GROUP:ROLE\" or \"*:ROLE\"");
      const Role role = parse_role(text.substr(colon + 1));
      if (name == "*") rules_.push_back({Rule::Kind::everybody, "", role});
      else if (name.starts_with('@')) rules_.push_back({Rule::Kind::group, name.substr(1), role});
      else rules_.push_back({Rule::Kind::user, name, role});
    } catch (const InvalidInput& error) {
      throw ConfigError("security.local_users: \"" + printable(text, 100) + "\": " + error.fact(), error.next());
    }
  }
}

std::optional<Identity> LocalUsers::find(uid_t uid, const std::vector<gid_t>& groups) const {
  if (uid == 0 || uid == ::geteuid()) return Identity{kAdministrator, Role::admin};
  if (rules_.empty()) return std::nullopt;
  const std::string name = name_of(uid);
  std::optional<Role> highest;
  for (const Rule& rule : rules_) {
    const bool fits = rule.kind == Rule::Kind::everybody || (rule.kind == Rule::Kind::user && (rule.name == name || rule.name == std::to_string(uid))) ||
                      (rule.kind == Rule::Kind::group && std::any_of(groups.begin(), groups.end(), [&](gid_t gid) { return rule.name == std::to_string(gid) || rule.name == name_of_group(gid); }));
    if (fits && (!highest || rule.role > *highest)) highest = rule.role;
  }
  // The tasks of "admin" are the administrator's.
  if (!highest || (name == kAdministrator && *highest != Role::admin)) return std::nullopt;
  return Identity{name, *highest};
}

}  // namespace riverbox::host
