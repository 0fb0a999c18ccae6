#include "ssh/socket_channel.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "ssh/addresses.hpp"

namespace riverbox::ssh {
namespace {

constexpr size_t kMaxAddresses = 16;

bool has_events(const std::vector<pollfd>& fds, int fd) {
  return fd >= 0 && std::any_of(fds.begin(), fds.end(), [&](const pollfd& entry) { return entry.fd == fd && entry.revents; });
}

}  // namespace

SocketChannel::SocketChannel(ssh_channel channel, const std::string& host, std::uint16_t port) : Channel(channel), port_(port) {
  if (is_numeric(host)) {
    addresses_ = {host};
    connect_next();
    return;
  }
  os::Child child = os::start_function([host] {
    std::string text;
    for (const std::string& address : resolve(host)) text += address + "\n";
    os::write_all(STDOUT_FILENO, text, "the addresses");
    return 0;
  });
  resolver_ = std::move(child.out);
}

SocketChannel::SocketChannel(ssh_channel channel, os::UniqueFd socket) : Channel(channel), connecting_(std::move(socket)) {}

void SocketChannel::want(std::vector<pollfd>& fds, bool writable) const {
  if (resolver_) fds.push_back({resolver_.get(), POLLIN, 0});
  if (connecting_) fds.push_back({connecting_.get(), POLLOUT, 0});
  Channel::want(fds, writable);
}

void SocketChannel::move(const std::vector<pollfd>& fds, bool writable) {
  if (has_events(fds, resolver_.get())) read_addresses();
  if (has_events(fds, connecting_.get())) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    os::UniqueFd socket = std::move(connecting_);
    if (error == 0) adopt(std::move(socket));
    else connect_next();
  }
  Channel::move(fds, writable);
}

void SocketChannel::read_addresses() {
  char piece[1024];
  const ssize_t n = ::read(resolver_.get(), piece, sizeof piece);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0 && told_.size() < sizeof piece) return void(told_.append(piece, static_cast<size_t>(n)));
  resolver_.reset();
  for (const std::string& line : split(told_, '\n'))
    if (!line.empty() && addresses_.size() < kMaxAddresses) addresses_.insert(addresses_.begin(), line);
  connect_next();
}

void SocketChannel::connect_next() {
  while (!addresses_.empty()) {
    const std::string address = std::move(addresses_.back());
    addresses_.pop_back();
    connecting_ = start_connecting(address, port_);
    if (connecting_) return;
  }
  log::debug("ssh", "no connection for a forwarding");
  finish();
}

void SocketChannel::adopt(os::UniqueFd socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  os::UniqueFd second(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3));
  if (second) attach(std::move(socket), std::move(second), {}, true);
  else finish();
}

void SocketChannel::all_sent() {
  if (client_is_done()) finish();
}

}  // namespace riverbox::ssh
