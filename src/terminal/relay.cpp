#include "terminal/relay.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "terminal/protocol.hpp"
#include "terminal/wire.hpp"

namespace riverbox::terminal {
namespace {

namespace asio = boost::asio;
using asio::posix::descriptor_base;
using namespace std::chrono_literals;

constexpr size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 4;                          // then other sessions have their turn
constexpr size_t kMaxQueuedBytes = 256 * 1024;            // towards the client: above this the shell is not read
constexpr size_t kMaxPendingInput = kInputWindowBytes;    // towards the shell: above this the client is not read
constexpr std::chrono::milliseconds kFirstMessageWait = 2s, kProbeInterval = 5s, kBusyRetry = 200ms;

std::unique_ptr<ServerWire> make_wire(Dialect dialect) {
  return dialect == Dialect::riverbox ? make_riverbox_server_wire() : make_json_server_wire(dialect == Dialect::kohaku);
}

void say_failure(net::WebSocket& socket, ServerWire& wire, ErrorKind kind, const std::string& why) {
  socket.send(wire.failure(why), wire.binary());
  socket.close(kind == ErrorKind::not_found || kind == ErrorKind::conflict || kind == ErrorKind::invalid_input ? 1008 : 1011, "");
}

bool is_sane(const ClientMessage& size) {
  return size.rows > 0 && size.columns > 0 && size.rows <= kMaxRowsOrColumns && size.columns <= kMaxRowsOrColumns;
}

// One terminal. Everything happens on the loop thread, except the calls of opener and shell that block: those run on a worker, one at a
// time. Handlers keep the session alive; when both sides are closed nothing refers to it any more.
class Session : public std::enable_shared_from_this<Session> {
public:
  Session(asio::io_context& loop, os::WorkerPool& workers, std::shared_ptr<net::WebSocket> socket, Opener opener, RelayOptions options)
      : loop_(loop), workers_(workers), socket_(std::move(socket)), opener_(std::move(opener)), request_(std::move(options.open)),
        wire_(make_wire(options.dialect)), descriptor_(loop), first_message_timer_(loop), probe_timer_(loop), retry_timer_(loop) {}

  void start() {
    auto self = shared_from_this();
    socket_->start({.message = [self](std::string_view data, bool binary) { self->on_message(data, binary); },
                    .closed = [self](std::uint16_t, std::string_view) { self->on_closed(); },
                    .drained = [self] { self->read_shell(); }});
    if (!wire_->waits_for_size()) return open();
    first_message_timer_.expires_after(kFirstMessageWait);
    first_message_timer_.async_wait([self](auto error) {
      if (!error) self->open();
    });
  }

private:
  // leaving: the client has gone, the shell is being hung up and what it still says is dropped (Docker holds up the whole container
  // while an exec whose process has ended finds no reader); over: the shell's stream is not used any more.
  enum class Phase { waiting, opening, running, leaving, over };
  enum class Farewell { none, exit_status, hang_up };    // the last call of a shell

  // ---- the client
  void on_message(std::string_view data, bool binary);
  void on_closed();
  void send(std::string message);
  void leave(std::uint16_t close_code);
  void throttle_client();
  void probe_client();

  // ---- the shell
  void open();
  void opened(std::shared_ptr<Shell> shell);
  void begin();
  void refused(ErrorKind kind, const std::string& text);
  void read_shell();
  void write_shell();
  void wait_for(descriptor_base::wait_type what, bool Session::*waiting, void (Session::*then)());
  void shell_ended();
  void shell_broke(const std::string& text);
  void stop_shell_io();

  // ---- calls that block
  void next_call();
  bool call(std::function<void()> work, std::function<void()> done);
  void call_resize();
  void call_exit_status();
  void call_hang_up();

  bool output_blocked() const {
    // While the client is not read, its acknowledgements cannot arrive: then only the queue counts.
    return socket_->queued_bytes() > kMaxQueuedBytes || (wire_->has_window() && !client_paused_ && unconsumed_ >= kWindowBytes);
  }
  size_t pending_input() const { return input_.size() - input_at_; }
  bool size_is_due() const { return wanted_size_ || resizing_; }

  asio::io_context& loop_;
  os::WorkerPool& workers_;
  std::shared_ptr<net::WebSocket> socket_;  // null: the client has gone
  Opener opener_;
  OpenRequest request_;
  std::unique_ptr<ServerWire> wire_;
  Phase phase_ = Phase::waiting;

  std::shared_ptr<Shell> shell_;  // shared with the call that runs
  asio::posix::stream_descriptor descriptor_;  // a duplicate of the shell's, for waiting only
  bool waiting_to_read_ = false, waiting_to_write_ = false, read_posted_ = false;
  size_t unconsumed_ = 0;         // output sent that the client has not acknowledged

  std::string input_;             // from input_at_: not yet taken by the shell
  size_t input_at_ = 0;
  std::uint32_t input_taken_ = 0; // since the last acknowledgement
  bool input_ended_ = false, input_closed_ = false, client_paused_ = false;

  bool call_running_ = false, resizing_ = false;
  std::optional<std::pair<std::uint16_t, std::uint16_t>> wanted_size_;
  Farewell farewell_ = Farewell::none;
  asio::steady_timer first_message_timer_, probe_timer_, retry_timer_;
};

// ---------------------------------------------------------------------------------------------------------------------- the client

void Session::on_message(std::string_view data, bool binary) {
  if (!socket_ || phase_ == Phase::over) return;  // the shell has ended, the exit status is on its way
  auto message = wire_->decode(data, binary);
  switch (message.kind) {
    case ClientMessage::Kind::ignore: break;
    case ClientMessage::Kind::leave: return leave(message.close_code);
    case ClientMessage::Kind::input:
      if (!input_ended_) input_ += message.input;
      write_shell();
      break;
    case ClientMessage::Kind::end:
      input_ended_ = true;
      write_shell();
      break;
    case ClientMessage::Kind::resize:
      if (!is_sane(message)) break;
      if (phase_ == Phase::waiting) {
        request_.rows = message.rows;
        request_.columns = message.columns;
      } else {
        wanted_size_ = {message.rows, message.columns};
        next_call();
      }
      break;
    case ClientMessage::Kind::consumed:
      unconsumed_ -= std::min<size_t>(unconsumed_, message.bytes);
      read_shell();
      break;
  }
  if (phase_ == Phase::waiting) open();
}

void Session::on_closed() {
  socket_.reset();
  first_message_timer_.cancel();
  probe_timer_.cancel();
  if (phase_ == Phase::waiting) phase_ = Phase::over;
  if (phase_ != Phase::running) return;  // opened() hangs up what comes too late
  phase_ = Phase::leaving;
  farewell_ = Farewell::hang_up;
  next_call();
  read_shell();
}

void Session::send(std::string message) {
  if (socket_ && !message.empty()) socket_->send(std::move(message), wire_->binary());
}

void Session::leave(std::uint16_t close_code) {
  auto socket = socket_;
  on_closed();  // the shell's end does not wait for the peer's
  socket->close(close_code, "");
}

void Session::throttle_client() {
  if (!socket_) return;
  if (!client_paused_ && pending_input() > kMaxPendingInput) {
    client_paused_ = true;
    socket_->pause_reading();
    probe_client();
    read_shell();
  } else if (client_paused_ && pending_input() <= kMaxPendingInput / 4) {
    client_paused_ = false;
    probe_timer_.cancel();
    socket_->resume_reading();
  }
}

// Who does not read does not see the end of the connection either; who writes does.
void Session::probe_client() {
  probe_timer_.expires_after(kProbeInterval);
  probe_timer_.async_wait([self = shared_from_this()](auto error) {
    if (error || !self->socket_ || !self->client_paused_) return;
    if (self->socket_->queued_bytes() == 0) self->send(self->wire_->probe());
    self->probe_client();
  });
}

// ----------------------------------------------------------------------------------------------------------------------- the shell

void Session::open() {
  if (phase_ != Phase::waiting) return;
  phase_ = Phase::opening;
  first_message_timer_.cancel();
  bool accepted = workers_.post([self = shared_from_this(), request = request_, waits = asio::make_work_guard(loop_)] {
    std::shared_ptr<Shell> shell;
    auto kind = ErrorKind::internal;
    std::string text;
    try {
      shell = self->opener_(request);
      if (!shell) text = "no shell was opened";
    } catch (const Error& error) {
      kind = error.kind();
      text = error.what();
    } catch (const std::exception& error) {
      text = error.what();
    }
    asio::post(self->loop_, [self, shell = std::move(shell), kind, text = std::move(text)]() mutable {
      self->opener_ = nullptr;
      if (shell) self->opened(std::move(shell));
      else self->refused(kind, text);
    });
  });
  if (!accepted) refused(ErrorKind::unavailable, "too many terminals are being opened at this moment. Try again in a few seconds.");
}

void Session::opened(std::shared_ptr<Shell> shell) {
  shell_ = std::move(shell);
  if (!socket_) {
    phase_ = Phase::over;
    farewell_ = Farewell::hang_up;
    return next_call();
  }
  phase_ = Phase::running;
  if (shell_->wait_fd() < 0) return begin();
  int fd = ::fcntl(shell_->wait_fd(), F_DUPFD_CLOEXEC, 3);
  int error_number = errno;
  boost::system::error_code error;
  if (fd >= 0) descriptor_.assign(fd, error);
  if (fd >= 0 && error) ::close(fd);
  if (fd < 0 || error) return shell_broke(IoError("wait for the shell", fd < 0 ? error_number : error.value()).what());
  begin();
}

void Session::begin() {
  send(wire_->ready(shell_->place()));
  next_call();  // a size that came while the shell was opened
  write_shell();
  read_shell();
}

void Session::refused(ErrorKind kind, const std::string& text) {
  phase_ = Phase::over;
  if (socket_) say_failure(*socket_, *wire_, kind, text);
}

// Reads until there is nothing, or the client is behind: then drained or consumed call again.
void Session::read_shell() {
  if (waiting_to_read_ || read_posted_) return;
  std::array<char, kReadBytes> buffer;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (phase_ != Phase::leaving && (phase_ != Phase::running || output_blocked())) return;
    std::optional<size_t> size;
    bool is_stderr = false;
    try {
      size = shell_->read_some(buffer.data(), buffer.size(), is_stderr);
    } catch (const std::exception& error) {
      return shell_broke(error.what());
    }
    if (!size) return wait_for(descriptor_base::wait_read, &Session::waiting_to_read_, &Session::read_shell);
    if (*size == 0) return shell_ended();
    unconsumed_ += *size;
    if (!socket_) continue;
    const auto place = shell_->place();
    send(place ? wire_->output_of(*place, {buffer.data(), *size}) : wire_->output({buffer.data(), *size}, is_stderr));
  }
  read_posted_ = true;
  asio::post(loop_, [self = shared_from_this()] {
    self->read_posted_ = false;
    self->read_shell();
  });
}

// What was typed after a change of the size reaches the shell after it.
void Session::write_shell() {
  if (phase_ != Phase::running || !socket_ || size_is_due()) return throttle_client();
  try {
    while (!waiting_to_write_ && pending_input() > 0 && !input_closed_) {
      auto taken = shell_->write_some(input_.data() + input_at_, std::min(pending_input(), kReadBytes));
      if (taken) {
        input_at_ += *taken;
        input_taken_ += static_cast<std::uint32_t>(*taken);
      } else {
        wait_for(descriptor_base::wait_write, &Session::waiting_to_write_, &Session::write_shell);
      }
    }
    if (pending_input() == 0 && input_ended_ && !std::exchange(input_closed_, true)) shell_->shutdown_write();
  } catch (const std::exception& error) {
    log::debug("terminal", "the shell takes no more input", {{"error", error.what()}});
    input_closed_ = true;  // its output may go on; the end shows there
  }
  if (input_closed_) {
    input_taken_ += static_cast<std::uint32_t>(pending_input());
    input_at_ = input_.size();
  }
  if (input_at_ == input_.size() || input_at_ >= kMaxPendingInput) {
    input_.erase(0, input_at_);
    input_at_ = 0;
    if (input_.empty() && input_.capacity() > kMaxPendingInput) input_.shrink_to_fit();
  }
  if (input_taken_ >= kInputWindowBytes / 4) send(wire_->consumed(std::exchange(input_taken_, 0)));
  throttle_client();
}

void Session::wait_for(descriptor_base::wait_type what, bool Session::*waiting, void (Session::*then)()) {
  this->*waiting = true;
  if (shell_->wait_fd() < 0) {
    auto ready = [self = shared_from_this(), waiting, then] {
      (*self).*waiting = false;
      if (self->phase_ == Phase::running || self->phase_ == Phase::leaving) ((*self).*then)();
    };
    return what == descriptor_base::wait_read ? shell_->when_readable(std::move(ready)) : shell_->when_writable(std::move(ready));
  }
  descriptor_.async_wait(what, [self = shared_from_this(), waiting, then](auto error) {
    (*self).*waiting = false;
    if (self->phase_ != Phase::running && self->phase_ != Phase::leaving) return;
    if (error) return self->shell_broke("waiting for the shell failed: " + error.message());
    ((*self).*then)();
  });
}

void Session::shell_ended() {
  bool wanted = phase_ == Phase::running;
  stop_shell_io();
  if (!wanted) return;
  send(wire_->flush());
  farewell_ = Farewell::exit_status;
  next_call();
}

void Session::shell_broke(const std::string& text) {
  bool wanted = phase_ == Phase::running;
  stop_shell_io();
  if (!wanted) return;
  send(wire_->flush());
  send(wire_->failure("the connection to the shell broke: " + text));
  socket_->close(1011, "");
  farewell_ = Farewell::hang_up;
  next_call();
}

void Session::stop_shell_io() {
  phase_ = Phase::over;
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  probe_timer_.cancel();
  input_.clear();
  input_at_ = 0;
  if (socket_ && std::exchange(client_paused_, false)) socket_->resume_reading();  // to see its close
}

// ---------------------------------------------------------------------------------------------------------------- calls that block

// One at a time; of many wanted sizes only the last is set; the farewell comes last.
void Session::next_call() {
  if (call_running_ || !shell_) return;
  switch (farewell_) {
    case Farewell::exit_status: return call_exit_status();
    case Farewell::hang_up: return call_hang_up();
    case Farewell::none:
      if (wanted_size_) call_resize();
  }
}

// False: the pool is full, and next_call() runs again in a moment. `work` must not throw. The loop waits for it, so that a program that ends leaves no shell behind.
bool Session::call(std::function<void()> work, std::function<void()> done) {
  auto self = shared_from_this();
  call_running_ = workers_.post([self, work = std::move(work), done = std::move(done), waits = asio::make_work_guard(loop_)]() mutable {
    work();
    work = nullptr;  // the last call's shell ends here and not on the loop thread
    asio::post(self->loop_, [self, done = std::move(done)] {
      self->call_running_ = false;
      if (done) done();
      self->next_call();
    });
  });
  if (call_running_) return true;
  retry_timer_.expires_after(kBusyRetry);
  retry_timer_.async_wait([self](auto error) {
    if (!error) self->next_call();
  });
  return false;
}

void Session::call_resize() {
  auto work = [shell = shell_, size = *wanted_size_] {
    try {
      shell->resize(size.first, size.second);
    } catch (const std::exception& error) {
      log::debug("terminal", "resize failed", {{"error", error.what()}});
    }
  };
  auto done = [self = shared_from_this()] {
    self->resizing_ = false;
    self->write_shell();
  };
  if (!call(work, done)) return;
  wanted_size_.reset();
  resizing_ = true;
}

void hang_up(Shell& shell) {
  try {
    shell.hang_up();
  } catch (const std::exception& error) {
    log::warning("terminal", "a shell whose client has gone could not be ended", {{"error", error.what()}});
  }
}

void Session::call_hang_up() {
  call([shell = shell_] { terminal::hang_up(*shell); }, [self = shared_from_this()] {
    self->stop_shell_io();
    self->shell_.reset();
  });
}

void Session::call_exit_status() {
  struct Result {
    std::optional<int> status;
    std::string error;
  };
  auto result = std::make_shared<Result>();
  auto work = [shell = shell_, result] {
    try {
      result->status = shell->exit_status();
      if (*result->status < 0) throw Timeout("it has closed its output and still runs");
    } catch (const std::exception& error) {
      result->status.reset();
      result->error = error.what();
      terminal::hang_up(*shell);  // nobody will look after it any more
    }
  };
  auto done = [self = shared_from_this(), result] {
    if (!self->socket_) return;
    if (result->status) {
      self->send(self->wire_->exit(*result->status));
    } else {
      self->send(self->wire_->failure("the shell is gone, but its exit status is unknown: " + result->error));
    }
    self->socket_->close(result->status ? 1000 : 1011, "");
  };
  if (call(work, done)) shell_.reset();
}

}  // namespace

void start_relay(asio::io_context& loop, os::WorkerPool& workers, std::shared_ptr<net::WebSocket> socket, Opener opener,
                 RelayOptions options) {
  std::make_shared<Session>(loop, workers, std::move(socket), std::move(opener), std::move(options))->start();
}

void refuse(net::WebSocket& socket, Dialect dialect, ErrorKind kind, const std::string& why) { say_failure(socket, *make_wire(dialect), kind, why); }

}  // namespace riverbox::terminal
