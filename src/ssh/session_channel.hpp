// A channel of the type "session": a shell, a command or sftp, with or without a terminal.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "os/child.hpp"
#include "os/users.hpp"
#include "ssh/channel.hpp"

namespace riverbox::ssh {

// The two ends of the connection, as text; without a socket they are unknown.
struct Ends {
  std::string client = "UNKNOWN 65535", server = "UNKNOWN 65535";  // "address port"
};

// What a session is told about where it is.
struct Situation {
  os::User user;
  Ends ends;
  std::vector<std::string> own_environment;  // of the server: what the image and whoever started the container have set
  bool same_user = false;                    // the server itself runs as this user
};

class SessionChannel : public Channel {
public:
  SessionChannel(ssh_channel channel, const Situation& situation);
  bool child_ended(pid_t pid, int status) override;

  struct PtyRequest {
    std::string term;
    os::TerminalSize size;
    std::uint16_t width_pixels = 0, height_pixels = 0;
    std::string modes;
  };
  bool open_terminal(const PtyRequest& request);

private:
  static int on_shell(ssh_session, ssh_channel, void* self) noexcept;
  static int on_exec(ssh_session, ssh_channel, const char* command, void* self) noexcept;
  static int on_subsystem(ssh_session, ssh_channel, const char* name, void* self) noexcept;
  static int on_env(ssh_session, ssh_channel, const char* name, const char* value, void* self) noexcept;
  static int on_window(ssh_session, ssh_channel, int columns, int rows, int width_pixels, int height_pixels, void* self) noexcept;
  static void on_signal(ssh_session, ssh_channel, const char* name, void* self) noexcept;
  bool start(const std::optional<std::string>& command);
  bool start_sftp();
  void adopt(os::Child child);
  std::vector<std::string> environment() const;
  void all_sent() override;
  bool keeps_input_open() const override { return has_terminal_; }  // closing it would hang up
  // A client may close the channel as soon as both directions have ended; how the process ends, it wants to know all the same.
  bool has_last_word() const override { return drained() && pid_ > 0; }
  void tell_end();

  const Situation& situation_;
  std::map<std::string, std::string> asked_;  // variables that the client has set
  std::optional<os::PseudoTerminal> terminal_;
  std::string terminal_name_;
  bool has_terminal_ = false;
  pid_t pid_ = -1;
  std::optional<int> status_;  // of wait(2)
};

}  // namespace riverbox::ssh
