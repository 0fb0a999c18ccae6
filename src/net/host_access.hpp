// How this machine reaches the host when nobody says more than the configuration.
#pragma once
#include <string>

#include "base/config.hpp"

namespace riverbox::net {

struct HostAccess {
  std::string url;    // with the fingerprint of its certificate, if it has one
  std::string token;  // may be empty: the host sees who comes over its unix socket
};
// When nobody has named a host: the unix socket of the one on this machine, if it listens there. Throws ConfigError for a token file that others can read.
HostAccess host_access(const Config& config);

}  // namespace riverbox::net
