// How a command ends: the one place where an exception becomes lines on stderr and an exit code.
#pragma once
#include <functional>
#include <string>

#include "base/error.hpp"

namespace riverbox::applets {

inline constexpr int kExitRefused = 1;       // the host said no; also a value it cannot accept
inline constexpr int kExitUsage = 64;        // sysexits.h from here
inline constexpr int kExitInterrupted = 130;
inline constexpr int kExitBrokenPipe = 141;  // what a shell reports for SIGPIPE

// The host answered with an error status: its own text, exit 1 whatever the status.
class HostRefusal : public Error {
public:
  HostRefusal(int http_status, std::string detail)
      : Error(ErrorKind::conflict, std::move(detail)), http_status_(http_status) {}
  int http_status() const { return http_status_; }

private:
  int http_status_;
};

// --help was asked for: `text` goes to stdout, exit 0.
struct HelpRequest {
  std::string text;
};

// The reader of our stdout went away: quiet, exit 141.
struct BrokenPipe {};

int exit_code_of(ErrorKind kind);
int exit_code_of(const Error& error);

// "riverbox docker: <fact>" and the next step on a line of its own. Untrusted text is made printable.
std::string error_lines(const std::string& program, const Error& error);

// Runs a command and translates what it throws.
int safe_main(const std::string& program, const std::function<int()>& body);

}  // namespace riverbox::applets
