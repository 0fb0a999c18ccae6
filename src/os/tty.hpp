// The local terminal. Raw mode is undone on every exit path that a process can see, including fatal signals.
#pragma once
#include <cstdint>
#include <optional>
#include <termios.h>

namespace riverbox::os {

struct TerminalSize {
  std::uint16_t rows = 24, columns = 80;
};

bool is_tty(int fd);
std::optional<TerminalSize> terminal_size(int fd);  // nullopt: not a terminal or 0x0

// Puts the terminal into raw mode while it lives. Installs handlers for SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGABRT that restore
// the terminal and re-raise. Only one at a time.
class RawMode {
public:
  explicit RawMode(int fd);
  ~RawMode();
  RawMode(RawMode&&) = delete;
  void restore() noexcept;  // idempotent, async-signal-safe

private:
  int fd_;
  termios saved_;
};

}  // namespace riverbox::os
