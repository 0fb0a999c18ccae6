#include "tunnel/socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include <boost/asio/post.hpp>

#include "base/error.hpp"

namespace riverbox::tunnel {

namespace asio = boost::asio;

namespace {

sockaddr_storage loopback_address(Loopback family, std::uint16_t port, socklen_t& size) {
  sockaddr_storage storage{};
  if (family == Loopback::v4) {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof address;
  } else {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    size = sizeof address;
  }
  return storage;
}

}  // namespace

Socket::Socket(asio::io_context& loop, os::UniqueFd fd) : descriptor_(loop, fd.get()) { fd.release(); }

void Socket::when(asio::posix::descriptor_base::wait_type what, std::function<void()> then) {
  if (!descriptor_.is_open()) return;
  descriptor_.async_wait(what, [then = std::move(then)](boost::system::error_code error) {
    if (error != asio::error::operation_aborted) then();
  });
}

void Socket::close() {
  boost::system::error_code ignored;
  if (descriptor_.is_open()) descriptor_.close(ignored);
}

void Timer::after(std::chrono::milliseconds time, std::function<void()> then) {
  timer_.expires_after(time);
  timer_.async_wait([then = std::move(then)](boost::system::error_code error) {
    if (!error) then();
  });
}

void call_later(asio::io_context& loop, std::function<void()> then) { asio::post(loop, std::move(then)); }

os::UniqueFd loopback_socket(Loopback family, int type) {
  os::UniqueFd socket(::socket(family == Loopback::v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (socket && type == SOCK_STREAM) ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

bool connect_loopback(int socket, Loopback family, std::uint16_t port) {
  socklen_t size = 0;
  const sockaddr_storage address = loopback_address(family, port, size);
  return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0;
}

os::UniqueFd listen_loopback(std::uint16_t port, std::uint16_t& chosen) {
  constexpr int kBacklog = 128, on = 1;
  os::UniqueFd socket = loopback_socket(Loopback::v4, SOCK_STREAM);
  socklen_t size = 0;
  sockaddr_storage address = loopback_address(Loopback::v4, port, size);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!socket || ::bind(socket.get(), name, size) != 0 || ::listen(socket.get(), kBacklog) != 0 || ::getsockname(socket.get(), name, &size) != 0)
    throw IoError(fmt::format("listen on 127.0.0.1:{}", port), errno);
  chosen = ntohs(reinterpret_cast<sockaddr_in*>(name)->sin_port);
  return socket;
}

}  // namespace riverbox::tunnel
