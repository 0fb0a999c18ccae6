// What a terminal session talks to: a shell somewhere, as a byte stream. The owner adapts Docker's exec (or an SSH session) to it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace riverbox::terminal {

struct OpenRequest {
  bool tty = true;
  std::uint16_t rows = 24, columns = 80;
  std::map<std::string, std::string> env;  // TERM, LANG, COLORTERM, LC_*: filtered at the edge
};

class Shell {
public:
  virtual ~Shell() = default;
  // Non-blocking stream, loop thread. Conventions of docker::Stream: 0 = end, nullopt = would block.
  virtual int wait_fd() const = 0;
  virtual std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) = 0;
  virtual std::optional<size_t> write_some(const char* bytes, size_t size) = 0;
  virtual void shutdown_write() = 0;
  // Blocking, run on a worker; throw Error.
  virtual void resize(std::uint16_t rows, std::uint16_t columns) = 0;
  virtual int exit_status() = 0;   // after the end of the stream
  virtual void hang_up() = 0;      // the client is gone: end the shell and what it started
};

// Blocking, run on a worker. Throws Error; its kind decides the close code (not_found and conflict 1008, else 1011).
using Opener = std::function<std::unique_ptr<Shell>(const OpenRequest&)>;

}  // namespace riverbox::terminal
