// The users of this machine or container, from /etc/passwd and /etc/group only, and becoming one of them.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

namespace riverbox::os {

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home, shell;
};

// nullopt: there is none. An image without /etc/passwd has one user, root.
std::optional<User> find_user(const std::string& name);
// Who runs this process, also when /etc/passwd does not know: then the name is the number.
User own_user();
// This process, with its groups, for good; nothing happens when it is that user already. Throws IoError, and whoever catches it must end: half may have been done.
void become_user(const User& user);

}  // namespace riverbox::os
