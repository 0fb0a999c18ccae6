// What a terminal session talks to: a shell somewhere, as a byte stream, and how it is opened. The owner adapts Docker's exec (or an SSH session) to it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "terminal/session_wish.hpp"

namespace riverbox::terminal {

struct OpenRequest {
  bool tty = true;
  std::uint16_t rows = 24, columns = 80;
  std::map<std::string, std::string> env;  // TERM, LANG, COLORTERM, LC_*: filtered at the edge
};

enum class Dialect {
  classic,     // JSON text frames; starts at once, greets with "Terminal connected.\r\n" (HakuRiver)
  kohaku,      // JSON text frames; waits up to 2 s for the first resize, acknowledges with an empty output (KohakuRiver)
  riverbox,    // terminal/protocol.hpp
};

struct RelayOptions {
  Dialect dialect = Dialect::classic;
  OpenRequest open;      // initial size, tty, environment from the query string
  std::optional<SessionWish> session = {};  // none: a shell of its own, which ends with the connection
};

class Shell {
public:
  virtual ~Shell() = default;
  // Non-blocking stream, loop thread. Conventions of docker::Stream: 0 = end, nullopt = would block. -1: there is nothing to poll, and when_readable() and when_writable() tell.
  virtual int wait_fd() const = 0;
  virtual std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) = 0;
  virtual std::optional<size_t> write_some(const char* bytes, size_t size) = 0;
  virtual void shutdown_write() = 0;
  // Calls `then` once, from the loop, when the next read (write) makes sense; not any more when this is gone.
  virtual void when_readable(std::function<void()> /* then */) {}
  virtual void when_writable(std::function<void()> /* then */) {}
  // Of a session that is shared: which one, and how far of its output has been read. Loop thread.
  virtual std::optional<SessionPlace> place() const { return std::nullopt; }
  // Blocking, run on a worker; throw Error.
  virtual void resize(std::uint16_t rows, std::uint16_t columns) = 0;
  virtual int exit_status() = 0;   // after the end of the stream
  virtual void hang_up() = 0;      // the client is gone: end the shell and what it started
};

// A shell that is a command run by somebody else, such as docker::ShellExec, which this folder does not know: whatever has these functions and options.
template <class Exec>
class ExecShell : public Shell {
public:
  static typename Exec::Options options(const OpenRequest& request) {
    typename Exec::Options options;
    options.tty = request.tty;
    options.rows = request.rows;
    options.columns = request.columns;
    options.env = request.env;
    return options;
  }
  explicit ExecShell(Exec exec) : exec_(std::move(exec)) {}
  int wait_fd() const override { return exec_.wait_fd(); }
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) override { return exec_.read_some(buffer, size, is_stderr); }
  std::optional<size_t> write_some(const char* bytes, size_t size) override { return exec_.write_some(bytes, size); }
  void shutdown_write() override { exec_.shutdown_write(); }
  void resize(std::uint16_t rows, std::uint16_t columns) override { exec_.resize(rows, columns); }
  int exit_status() override { return exec_.exit_status(); }
  void hang_up() override { exec_.hang_up(); }

private:
  Exec exec_;
};

// Blocking, run on a worker. Throws Error; its kind decides the close code (not_found and conflict 1008, else 1011).
using Opener = std::function<std::unique_ptr<Shell>(const OpenRequest&)>;

}  // namespace riverbox::terminal
