// Client side of a terminal: the local tty in raw mode (or a pipe) against a riverbox host.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace riverbox::terminal {

struct ClientOptions {
  std::string url;            // http://host:port/docker/host/containers/NAME/terminal, or /api/tasks/ID/terminal
  std::string token;          // may be empty
  std::string detach_keys = "ctrl-p,ctrl-q";  // docker's syntax; "" = none
  std::string name;           // for messages
  std::string when_missing = "`hakuriver.docker list-containers` shows what there is.";  // the advice, when the host knows no such terminal
  // A shell that is shared and outlives us, instead of one of our own; only with a terminal.
  struct Session {
    std::string name = "main";
    bool watch = false, fresh = false;
    std::string come_back;  // the command that joins it again
  };
  std::optional<Session> session = {};
  int input = 0, output = 1, error = 2;  // descriptors; others than these in tests
};

// Blocking until the shell ends; returns its exit status, which is ours. 0 after detaching, 141 when nobody reads the output any more, 129 when the
// local terminal has gone. Throws Unavailable (host unreachable, connection lost), Error (refused by the host: its text). The tty is restored on every
// path. When the connection to a session breaks, it says so, dials again for as long as it takes, and is back where it was; NotFound: the session is over.
// One at a time: it owns SIGWINCH, SIGTSTP and SIGPIPE while it runs.
int run_client(const ClientOptions& options);

// Docker's detach-key syntax ("ctrl-p,ctrl-q", "a", "ctrl-@") as the bytes to match. Throws UsageError.
std::string parse_detach_keys(const std::string& text);

}  // namespace riverbox::terminal
