// One connection, from the first byte to the last, in a process of its own. The process becomes the user who logs in.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "os/fd.hpp"
#include "ssh/host_key.hpp"
#include "ssh/login.hpp"

namespace riverbox::ssh {

struct Settings {
  LoginRules rules;
  bool forward_anywhere = false;  // ssh -R may listen on all addresses, not only on those of the container itself
  std::vector<std::string> own_environment;
  std::chrono::seconds login_grace{60};
  std::chrono::seconds keep_alive{30};  // after so long without a byte from the client it is asked whether it is there; three times without an answer is the end
};

// Returns when the connection is over. Blocks; nothing else may go on in this process.
void serve_connection(os::UniqueFd socket, const Settings& settings, const HostKey& host_key);

}  // namespace riverbox::ssh
