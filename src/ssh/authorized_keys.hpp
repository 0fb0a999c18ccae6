// An authorized_keys file, as sshd(8) describes it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/ssh_key.hpp"

namespace riverbox::ssh {

struct AuthorizedKey : SshPublicKey {
  size_t line = 0;  // from 1
};

// A line that counts for nothing, and why. What a line may restrict, it restricts only if all of it is obeyed; so a line with options is not believed at all.
struct IgnoredLine {
  size_t line = 0;
  std::string why;
};

struct AuthorizedKeys {
  std::vector<AuthorizedKey> keys;
  std::vector<IgnoredLine> ignored;  // comments and empty lines are not in it
};

AuthorizedKeys parse_authorized_keys(std::string_view text);

}  // namespace riverbox::ssh
