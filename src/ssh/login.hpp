// Who may log in, and by which keys.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/users.hpp"

namespace riverbox::ssh {

struct LoginRules {
  std::vector<std::string> key_files;  // absolute, or "~/..." for the home of who logs in
  bool no_auth = false;                // whoever knows a name is let in
};

// A user that a connection can become: any for root, else only the own one. nullopt: nobody, and the log says why.
std::optional<os::User> user_for_login(const std::string& name);
// Reads the files anew. `blob` is the key as it travels.
bool is_authorized(const LoginRules& rules, const os::User& user, std::string_view blob);

}  // namespace riverbox::ssh
