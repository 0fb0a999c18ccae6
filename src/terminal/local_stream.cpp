#include "terminal/local_stream.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include <boost/asio/post.hpp>

#include "base/error.hpp"
#include "os/tty.hpp"

namespace riverbox::terminal {
namespace {

namespace asio = boost::asio;
using asio::posix::descriptor_base;

constexpr size_t kReadBytes = 32 * 1024, kWriteBytes = 64 * 1024, kCompactBytes = 256 * 1024;

// Terminals and pipes can be opened again through /proc: the same object, a description of our own. Not files: they would lose their offset.
int reopened(int fd, int access) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !(S_ISFIFO(info.st_mode) || os::is_tty(fd))) return -1;
  auto path = "/proc/self/fd/" + std::to_string(fd);
  return ::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

}  // namespace

LocalStream::LocalStream(asio::io_context& loop, int fd, int access) : loop_(loop), descriptor_(loop) {
  fd_ = reopened(fd, access);
  non_blocking_ = fd_ >= 0;
  if (fd_ < 0) fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (fd_ < 0) throw IoError("use descriptor " + std::to_string(fd), errno);
  boost::system::error_code error;
  descriptor_.assign(fd_, error);
  pollable_ = !error;
}

void LocalStream::when_ready(descriptor_base::wait_type what, std::function<void()> then) {
  if (!pollable_) {
    asio::post(loop_, std::move(then));
    return;
  }
  descriptor_.async_wait(what, [this, then = std::move(then)](auto error) {
    if (error == asio::error::operation_aborted) return;  // `this` may be gone
    if (error) pollable_ = false;                         // EPERM of epoll shows here
    then();
  });
}

void LocalStream::close() {
  boost::system::error_code ignored;
  if (descriptor_.is_open()) descriptor_.close(ignored);
  else if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

// ------------------------------------------------------------------------------------------------------------------------ input

LocalInput::LocalInput(asio::io_context& loop, int fd) : LocalStream(loop, fd, O_RDONLY) {}

void LocalInput::start(Events events) {
  events_ = std::move(events);
  stopped_ = false;
  if (non_blocking_) read();  // a FIFO that all writers have left already is never reported as readable
  else wait();
}

void LocalInput::resume() {
  if (std::exchange(paused_, false) && !stopped_) wait();
}

void LocalInput::stop() {
  stopped_ = true;
  close();
}

void LocalInput::wait() {
  if (std::exchange(waiting_, true)) return;
  when_ready(descriptor_base::wait_read, [this] {
    waiting_ = false;
    read();
  });
}

void LocalInput::read() {
  if (stopped_ || paused_) return;
  std::array<char, kReadBytes> buffer;
  ssize_t size = ::read(fd_, buffer.data(), buffer.size());
  if (size > 0) {
    events_.bytes({buffer.data(), static_cast<size_t>(size)});
  } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
    int error_number = size == 0 ? 0 : errno;
    stop();
    return events_.end(error_number);
  }
  if (!stopped_ && !paused_) wait();
}

// ----------------------------------------------------------------------------------------------------------------------- output

LocalOutput::LocalOutput(asio::io_context& loop, int fd, Events events)
    : LocalStream(loop, fd, O_WRONLY), events_(std::move(events)) {}

void LocalOutput::write(std::string_view bytes) {
  if (stopped_ || bytes.empty()) return;
  pending_ += bytes;
  if (waiting_) return;
  if (non_blocking_) flush();
  else wait();
}

void LocalOutput::stop() {
  stopped_ = true;
  pending_.clear();
  at_ = 0;
  close();
}

void LocalOutput::wait() {
  waiting_ = true;
  when_ready(descriptor_base::wait_write, [this] {
    waiting_ = false;
    flush();
  });
}

void LocalOutput::flush() {
  while (pending() > 0 && write_some())
    if (!non_blocking_) break;
  if (pending() > 0) wait();
}

// False: nothing more goes out now.
bool LocalOutput::write_some() {
  // A pipe that is ready takes PIPE_BUF bytes without blocking. A terminal may take less; then this waits for it, as every program does
  // that writes to a terminal.
  size_t most = non_blocking_ || !pollable() ? kWriteBytes : PIPE_BUF;
  ssize_t size = ::write(fd_, pending_.data() + at_, std::min(pending(), most));
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size < 0) {
    int error_number = errno;
    stop();
    events_.broken(error_number);
    return false;
  }
  at_ += static_cast<size_t>(size);
  if (at_ == pending_.size() || at_ >= kCompactBytes) {
    pending_.erase(0, at_);
    at_ = 0;
  }
  events_.written(static_cast<size_t>(size));
  return !stopped_;
}

}  // namespace riverbox::terminal
