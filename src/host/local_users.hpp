// Who somebody is that comes over the unix socket: root and the user of the host are administrators; others what [security] local_users says.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/identity.hpp"

namespace riverbox::host {

class LocalUsers {
public:
  // "alice:operator", "@docker:user", "*:viewer"; of several that fit the highest role counts. Throws ConfigError.
  explicit LocalUsers(const std::vector<std::string>& rules);
  // nullopt: nobody. Asks the user database. Any thread.
  std::optional<Identity> find(uid_t uid, const std::vector<gid_t>& groups) const;

private:
  struct Rule {
    enum class Kind { user, group, everybody } kind;
    std::string name;
    Role role;
  };
  std::vector<Rule> rules_;
};

}  // namespace riverbox::host
