// A channel that ends in a TCP connection: of `ssh -L` and `-D` (we connect), or of `ssh -R` (somebody has connected to us).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ssh/channel.hpp"

namespace riverbox::ssh {

class SocketChannel : public Channel {
public:
  // Connects; what the client sends meanwhile waits. A name is looked up in a process of its own, because that may take long.
  SocketChannel(ssh_channel channel, const std::string& host, std::uint16_t port);
  SocketChannel(ssh_channel channel, os::UniqueFd socket);  // connected, or about to be

  void want(std::vector<pollfd>& fds, bool writable) const override;
  void move(const std::vector<pollfd>& fds, bool writable) override;

private:
  void connect_next();
  void read_addresses();
  void adopt(os::UniqueFd socket);
  void all_sent() override;
  bool outlives_client() const override { return true; }

  std::uint16_t port_ = 0;
  os::UniqueFd resolver_, connecting_;
  std::string told_;                    // by the resolver, so far
  std::vector<std::string> addresses_;  // numeric, to be tried one after the other; the last one first
};

}  // namespace riverbox::ssh
