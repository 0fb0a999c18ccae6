// Socket activation, sd_listen_fds(3), without libsystemd: somebody else has opened our port and passes it on.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "os/fd.hpp"

namespace riverbox::os {

struct InheritedSocket {
  UniqueFd fd;          // listens
  std::string address;  // "0.0.0.0", "::"
  std::uint16_t port = 0;
};

// From $LISTEN_FDS, if it is meant for this process; else nullopt. Call it once, before there are threads: the variables are taken away, so that
// no child believes them. Throws ConfigError for more than one socket, and for what is no TCP socket that listens.
std::optional<InheritedSocket> inherited_socket();

}  // namespace riverbox::os
