// A shell whose other end the test holds, and a WebSocket that records.
#pragma once
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "net/websocket.hpp"
#include "terminal/shell.hpp"

namespace fakes {

using namespace riverbox;

// What the test sees of a FakeShell; outlives it.
struct ShellState {
  int peer = -1;  // blocking end: read = what was typed, write = output
  std::atomic<int> resizes{0}, hang_ups{0}, exit_calls{0}, concurrent{0}, most_concurrent{0}, alive{0};
  std::atomic<bool> exit_fails{false};
  std::atomic<int> status{0}, resize_ms{0}, hang_up_ms{0};
  std::mutex mutex;
  std::pair<int, int> size{0, 0};
  ~ShellState() { if (peer >= 0) ::close(peer); }
  std::pair<int, int> current_size() { std::lock_guard lock(mutex); return size; }
};

class FakeShell : public terminal::Shell {
public:
  explicit FakeShell(ShellState& state) : state_(state) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw IoError("make a socket pair", errno);
    fd_ = pair[0];
    state_.peer = pair[1];
    ++state_.alive;
  }
  ~FakeShell() override { ::close(fd_); --state_.alive; }
  int wait_fd() const override { return fd_; }
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) override {
    is_stderr = false;
    auto got = ::recv(fd_, buffer, size, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return std::nullopt;
    if (got < 0) throw IoError("read from the shell", errno);
    return got;
  }
  std::optional<size_t> write_some(const char* bytes, size_t size) override {
    auto put = ::send(fd_, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EAGAIN) return std::nullopt;
    if (put < 0) throw IoError("write to the shell", errno);
    return put;
  }
  void shutdown_write() override { ::shutdown(fd_, SHUT_WR); }
  void resize(std::uint16_t rows, std::uint16_t columns) override {
    Blocking call(state_);
    if (state_.resize_ms) std::this_thread::sleep_for(std::chrono::milliseconds(state_.resize_ms));
    std::lock_guard lock(state_.mutex);
    ++state_.resizes;
    state_.size = {rows, columns};
  }
  int exit_status() override {
    Blocking call(state_);
    ++state_.exit_calls;
    if (state_.exit_fails) throw Unavailable("Docker does not answer");
    return state_.status;
  }
  void hang_up() override {
    Blocking call(state_);
    if (state_.hang_up_ms) std::this_thread::sleep_for(std::chrono::milliseconds(state_.hang_up_ms));
    ++state_.hang_ups;
  }

private:
  struct Blocking {  // the relay promises one call at a time
    explicit Blocking(ShellState& state) : state(state) {
      int now = ++state.concurrent;
      if (now > state.most_concurrent) state.most_concurrent = now;
    }
    ~Blocking() { --state.concurrent; }
    ShellState& state;
  };
  ShellState& state_;
  int fd_;
};

struct FakeSocket : net::WebSocket {
  Events events;
  std::vector<std::string> sent;
  size_t queued = 0, most_queued = 0, sent_bytes = 0;
  bool keep = true;       // record what is sent
  bool slow = false;      // what is sent stays queued until deliver()
  bool paused = false;
  int pauses = 0;
  std::optional<std::pair<int, std::string>> closed;
  std::string protocol;

  void start(Events e) override { events = std::move(e); }
  void send(std::string data, bool) override {
    sent_bytes += data.size();
    if (slow) queued += data.size();
    most_queued = std::max(most_queued, queued);
    if (keep) sent.push_back(std::move(data));
  }
  size_t queued_bytes() const override { return queued; }
  void pause_reading() override { paused = true; ++pauses; }
  void resume_reading() override { paused = false; }
  void close(std::uint16_t code, std::string reason) override { if (!closed) closed = {code, std::move(reason)}; }
  const std::string& subprotocol() const override { return protocol; }

  void deliver() { queued = 0; if (events.drained) events.drained(); }
  // The connection is gone, from whichever side.
  void vanish() {
    auto closing = std::exchange(events, {});
    if (closing.closed) closing.closed(1006, "");
  }
};

}  // namespace fakes
