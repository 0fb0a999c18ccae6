// What `ssh -R` has asked for: sockets that listen here, and channels to the client for whoever connects to them.
#pragma once
#include <libssh/libssh.h>
#include <poll.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.hpp"

namespace riverbox::ssh {

class RemoteForwards {
public:
  RemoteForwards(ssh_session session, bool anywhere) : session_(session), anywhere_(anywhere) {}
  ~RemoteForwards();
  RemoteForwards(RemoteForwards&&) = delete;

  // The port that it is; nullopt: it cannot be, and the log says why. Unless it may be anywhere, whatever address was asked for it is the container itself.
  std::optional<std::uint16_t> listen(const std::string& address, std::uint16_t port);
  bool cancel(const std::string& address, std::uint16_t port);

  void want(std::vector<pollfd>& fds, bool accept_more) const;
  // Calls `open` for each channel that the client has taken.
  void move(const std::vector<pollfd>& fds, const std::function<void(ssh_channel, os::UniqueFd)>& open);

private:
  struct Listener {
    std::string address;  // as it was asked for: the client knows it by that
    std::uint16_t port;
    std::vector<os::UniqueFd> sockets;
  };
  struct Opening {
    ssh_channel channel;
    os::UniqueFd socket;
    std::string address, peer;
    std::uint16_t port, peer_port;
  };
  std::vector<std::string> addresses_for(const std::string& asked) const;
  void accept_from(const Listener& listener, int socket);

  ssh_session session_;
  bool anywhere_;
  std::vector<Listener> listeners_;
  std::vector<Opening> openings_;
};

}  // namespace riverbox::ssh
