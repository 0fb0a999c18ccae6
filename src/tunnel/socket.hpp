// What the loop does for a tunnel: each of it is compiled once. A socket of which only readiness is asked: whoever uses it reads and writes by itself, so that nobody needs a buffer while nothing happens. Loop thread only.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "os/fd.hpp"

namespace riverbox::tunnel {

class Socket {
public:
  Socket(boost::asio::io_context& loop, os::UniqueFd fd);  // one that does not block
  ~Socket() { close(); }
  Socket(Socket&&) = delete;
  int fd() { return descriptor_.native_handle(); }
  // `then` is called once, from the loop, unless the socket is closed before: what it holds is let go then.
  void when_readable(std::function<void()> then) { when(boost::asio::posix::descriptor_base::wait_read, std::move(then)); }
  void when_writable(std::function<void()> then) { when(boost::asio::posix::descriptor_base::wait_write, std::move(then)); }
  void close();

private:
  void when(boost::asio::posix::descriptor_base::wait_type what, std::function<void()> then);
  boost::asio::posix::stream_descriptor descriptor_;
};

// Calls something after a while, unless it is cancelled or gone before; what that holds is let go then.
class Timer {
public:
  explicit Timer(boost::asio::io_context& loop) : timer_(loop) {}
  void after(std::chrono::milliseconds time, std::function<void()> then);  // instead of what it waits for, if anything
  void cancel() { timer_.cancel(); }

private:
  boost::asio::steady_timer timer_;
};
// In the next turn of the loop.
void call_later(boost::asio::io_context& loop, std::function<void()> then);

// TCP and UDP of the loopback device.
enum class Loopback { v4, v6 };
os::UniqueFd loopback_socket(Loopback family, int type);  // invalid: this machine has no such addresses, or too many are open
bool connect_loopback(int socket, Loopback family, std::uint16_t port);  // false: errno
// Listens on 127.0.0.1. Throws IoError.
os::UniqueFd listen_loopback(std::uint16_t port, std::uint16_t& chosen);

}  // namespace riverbox::tunnel
