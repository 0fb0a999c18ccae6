#include "net/host_access.hpp"

#include "net/security.hpp"
#include "os/unix_socket.hpp"

namespace riverbox::net {

HostAccess host_access(const Config& config) {
  if (config.host_url.empty())
    for (const auto& path : {config.unix_socket(), std::filesystem::path("/run/riverbox/host.sock")})
      if (!path.empty() && os::listens(path))  // of our own host nothing has to be shown; another's knows us by our token, if we have one
        return {"unix://" + path.string(), path == config.unix_socket() ? config.security.token : client_token(config)};
  return {config.url(), client_token(config)};
}

}  // namespace riverbox::net
