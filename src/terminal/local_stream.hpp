// The client's own input and output on the event loop: terminals, pipes, sockets, files and devices. O_NONBLOCK is never set on the
// descriptions that were inherited: the shell that started us, and others, share them and would meet EAGAIN.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace riverbox::terminal {

// A description of our own for the same terminal or pipe (non-blocking), or, where there can be none, a duplicate that is used
// with one small transfer after each readiness. Lives as long as the loop runs.
class LocalStream {
public:
  LocalStream(LocalStream&&) = delete;

protected:
  ~LocalStream() { close(); }
  LocalStream(boost::asio::io_context& loop, int fd, int access);
  // Calls `then` when a transfer makes sense; not after stop(). What epoll refuses (files, /dev/null) is always ready.
  void when_ready(boost::asio::posix::descriptor_base::wait_type what, std::function<void()> then);
  void close();
  bool pollable() const { return pollable_; }
  int fd_ = -1;
  bool non_blocking_ = false;

private:
  boost::asio::io_context& loop_;
  boost::asio::posix::stream_descriptor descriptor_;
  bool pollable_ = true;
};

class LocalInput : LocalStream {
public:
  struct Events {
    std::function<void(std::string_view)> bytes;
    std::function<void(int error_number)> end;  // once; 0: end of file
  };
  LocalInput(boost::asio::io_context& loop, int fd);
  void start(Events events);
  void pause() { paused_ = true; }
  void resume();
  void stop();  // no event any more

private:
  void wait();
  void read();
  Events events_;
  bool paused_ = false, waiting_ = false, stopped_ = true;
};

class LocalOutput : LocalStream {
public:
  struct Events {
    std::function<void(size_t)> written;            // progress; pending() may be 0 now
    std::function<void(int error_number)> broken;   // once; EPIPE: nobody reads it any more
  };
  LocalOutput(boost::asio::io_context& loop, int fd, Events events);
  void write(std::string_view bytes);  // all of it, in order, as fast as it is taken
  size_t pending() const { return pending_.size() - at_; }
  void stop();

private:
  void wait();
  void flush();
  bool write_some();
  Events events_;
  std::string pending_;
  size_t at_ = 0;
  bool waiting_ = false, stopped_ = false;
};

}  // namespace riverbox::terminal
