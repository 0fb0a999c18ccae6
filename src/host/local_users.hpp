// Who somebody is that comes over the unix socket: root and the user of the host are administrators; others what [security] local_users says.
#pragma once
#include <sys/types.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/identity.hpp"

namespace riverbox::host {

class LocalUsers {
public:
  // "alice:operator", "@docker:user", "*:viewer"; of several that fit the highest role counts. Asks the user database. Throws ConfigError, also for names that it does not know.
  explicit LocalUsers(const std::vector<std::string>& rules);
  // nullopt: nobody. Any thread; asks the user database for a user's name once.
  std::optional<Identity> find(uid_t uid, const std::vector<gid_t>& groups) const;
  // Whether a user of this machine called so may come. Asks the user database.
  bool may_come(const std::string& name) const;

private:
  struct Rule {
    std::optional<uid_t> user;
    std::optional<gid_t> group;  // neither: everybody
    Role role;
    bool fits(uid_t uid, const std::vector<gid_t>& groups) const;
  };
  static Rule parse(const std::string& text);
  std::string name_of(uid_t uid) const;

  std::vector<Rule> rules_;
  mutable std::mutex mutex_;
  mutable std::map<uid_t, std::string> names_;
};

}  // namespace riverbox::host
