// The key by which clients know this server again.
#pragma once
#include <filesystem>
#include <string>

#include "ssh/handles.hpp"

namespace riverbox::ssh {

inline constexpr const char* kHostKeys = "/etc/riverbox/ssh";
inline constexpr const char* kOpenSshHostKey = "/etc/ssh/ssh_host_ed25519_key";

struct HostKey {
  Key key;
  std::filesystem::path path;
  std::string fingerprint;  // "SHA256:..."
};

// The one in `folder`, which is made at the first time. `instead`, if it is not empty and a key can be read there, is taken as long as there is none in the folder:
// known_hosts stays true, whatever is installed later.
HostKey load_host_key(const std::filesystem::path& folder, const std::filesystem::path& instead);

}  // namespace riverbox::ssh
