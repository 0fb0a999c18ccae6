#include "ssh/remote_forwards.hpp"

#include <libssh/server.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "ssh/addresses.hpp"

namespace riverbox::ssh {
namespace {

constexpr size_t kMaxListeners = 50, kMaxOpenings = 50;

}  // namespace

RemoteForwards::~RemoteForwards() {
  for (const Opening& opening : openings_) ssh_channel_free(opening.channel);
}

// RFC 4254, section 7.1: "" is everything, "0.0.0.0" and "::" all addresses of one kind, "localhost" the loopback of both.
std::vector<std::string> RemoteForwards::addresses_for(const std::string& asked) const {
  const std::vector<std::string> loopback{"127.0.0.1", "::1"};
  if (asked == "127.0.0.1" || asked == "::1") return {asked};
  if (!anywhere_ || asked == "localhost") return loopback;
  if (asked.empty() || asked == "*") return {"0.0.0.0", "::"};
  return {asked};
}

std::optional<std::uint16_t> RemoteForwards::listen(const std::string& address, std::uint16_t port) {
  if (listeners_.size() >= kMaxListeners) return std::nullopt;
  Listener listener{address, port, {}};
  for (const std::string& one : addresses_for(address)) {
    try {
      listener.sockets.push_back(listen_on({one, listener.port}, &listener.port));
    } catch (const Error& error) {  // there may be no IPv6 here
      log::debug("ssh", error.what());
      if (listener.sockets.empty() && one.find(':') == std::string::npos) return log::info("ssh", std::string("no forwarding: ") + error.what()), std::nullopt;
    }
  }
  if (listener.sockets.empty()) return std::nullopt;
  const std::uint16_t bound = listener.port;
  listeners_.push_back(std::move(listener));
  return bound;
}

bool RemoteForwards::cancel(const std::string& address, std::uint16_t port) {
  return std::erase_if(listeners_, [&](const Listener& listener) { return listener.address == address && listener.port == port; }) > 0;
}

void RemoteForwards::want(std::vector<pollfd>& fds, bool accept_more) const {
  if (!accept_more || openings_.size() >= kMaxOpenings) return;
  for (const Listener& listener : listeners_)
    for (const os::UniqueFd& socket : listener.sockets) fds.push_back({socket.get(), POLLIN, 0});
}

void RemoteForwards::accept_from(const Listener& listener, int socket) {
  os::UniqueFd accepted(::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!accepted) return;
  ssh_channel channel = ssh_channel_new(session_);
  if (!channel) return;
  const Endpoint peer = peer_of(accepted.get());
  openings_.push_back({channel, std::move(accepted), listener.address, peer.host, listener.port, peer.port});
}

void RemoteForwards::move(const std::vector<pollfd>& fds, const std::function<void(ssh_channel, os::UniqueFd)>& open) {
  for (const Listener& listener : listeners_)
    for (const os::UniqueFd& socket : listener.sockets)
      if (std::any_of(fds.begin(), fds.end(), [&](const pollfd& fd) { return fd.fd == socket.get() && fd.revents; })) accept_from(listener, socket.get());
  // The first call asks the client, the others look whether it has answered.
  std::erase_if(openings_, [&](Opening& opening) {
    const int result = ssh_channel_open_reverse_forward(opening.channel, opening.address.c_str(), opening.port, opening.peer.c_str(), opening.peer_port);
    if (result == SSH_AGAIN) return false;
    if (result == SSH_OK) open(opening.channel, std::move(opening.socket));
    else ssh_channel_free(opening.channel);
    return true;
  });
}

}  // namespace riverbox::ssh
