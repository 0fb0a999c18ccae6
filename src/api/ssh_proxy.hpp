// The SSH proxy: a TCP port (8002) where clients name a VPS in one line and then speak with its SSH server. The line is that of HakuRiver and KohakuRiver, with a token behind it where the host
// wants one (docs/ssh-proxy.md). Loop thread, but for the state worker that looks up the VPS.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace riverbox::api {

struct Services;

struct ProxyRequest {
  TaskId id;
  std::string token;  // may be empty
  static ProxyRequest parse(std::string_view line);  // throws InvalidInput
};

class SshProxy {
public:
  // Listens. Throws Unavailable when it cannot. `services` must outlive it.
  SshProxy(Services& services, const std::string& address, std::uint16_t port);
  ~SshProxy();
  SshProxy(SshProxy&&) = delete;

private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace riverbox::api
