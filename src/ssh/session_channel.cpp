#include "ssh/session_channel.hpp"

#include <libssh/server.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "base/error.hpp"
#include "base/log.hpp"
#include "ssh/legacy_scp.hpp"
#include "ssh/pty_modes.hpp"
#include "ssh/sftp_server.hpp"

namespace riverbox::ssh {
namespace {

constexpr size_t kMaxVariables = 100, kMaxVariableBytes = 8 << 10;
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Signal {
  const char* name;
  int number;
};
constexpr Signal kSignals[] = {{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE}, {"HUP", SIGHUP}, {"ILL", SIGILL}, {"INT", SIGINT}, {"KILL", SIGKILL},
                               {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};

// RFC 4254 has thirteen; others are told as OpenSSH does it.
std::string signal_name(int number) {
  for (const Signal& signal : kSignals)
    if (signal.number == number) return signal.name;
  return "SIG" + std::to_string(number) + "@openssh.com";
}

// What may be set from outside: how things look, and what our own commands read. Anything else (PATH, LD_PRELOAD, BASH_ENV) would decide what runs.
bool may_be_set(std::string_view name) {
  return name == "LANG" || name.starts_with("LC_") || name == "TERM" || name == "COLORTERM" || name == "EDITOR" || name.starts_with("RIVERBOX_");
}

std::string name_of(const std::string& variable) { return variable.substr(0, variable.find('=')); }

// Of the server's own variables, those that are about the server and not about the machine.
bool is_about_server(std::string_view name) {
  for (const char* own : {"HOME", "USER", "LOGNAME", "SHELL", "MAIL", "TERM", "PWD", "OLDPWD", "SHLVL", "_", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM"})
    if (name == own) return true;
  return name.starts_with("SSH_") || name.starts_with("RIVERBOX_");
}

SessionChannel& of(void* self) { return *static_cast<SessionChannel*>(static_cast<Channel*>(self)); }

std::uint16_t size16(int value) { return static_cast<std::uint16_t>(std::clamp(value, 0, 0xffff)); }

}  // namespace

SessionChannel::SessionChannel(ssh_channel channel, const Situation& situation) : Channel(channel), situation_(situation) {
  callbacks_.channel_shell_request_function = on_shell;
  callbacks_.channel_exec_request_function = on_exec;
  callbacks_.channel_subsystem_request_function = on_subsystem;
  callbacks_.channel_env_request_function = on_env;
  callbacks_.channel_pty_window_change_function = on_window;
  callbacks_.channel_signal_function = on_signal;
}

bool SessionChannel::open_terminal(const PtyRequest& request) {
  if (has_terminal_ || attached()) return false;
  try {
    terminal_.emplace();
  } catch (const Error& error) {
    log::warning("ssh", error.what());
    return false;
  }
  termios settings{};
  if (::tcgetattr(terminal_->settings_fd(), &settings) == 0) {
    apply_modes(request.modes, settings);
    ::tcsetattr(terminal_->settings_fd(), TCSANOW, &settings);
  }
  terminal_->resize(request.size, request.width_pixels, request.height_pixels);
  terminal_name_ = terminal_->name();
  if (!request.term.empty()) asked_["TERM"] = request.term;
  return has_terminal_ = true;
}

std::vector<std::string> SessionChannel::environment() const {
  std::map<std::string, std::string> all;
  // root's session in a container sees what the image has set (PATH, CUDA_HOME); another user must not see what was meant for root.
  for (const std::string& variable : situation_.own_environment) {
    const std::string name = name_of(variable);
    const bool harmless = name == "PATH" || name == "TZ" || name == "LANG" || name.starts_with("LC_");
    if (variable.size() > name.size() && (harmless || (situation_.same_user && !is_about_server(name)))) all[name] = variable.substr(name.size() + 1);
  }
  all.try_emplace("PATH", kPath);
  all["PATH"] += std::string(":") + kToolFolder;
  for (const auto& [name, value] : asked_) all[name] = value;
  all["HOME"] = situation_.user.home;
  all["USER"] = all["LOGNAME"] = situation_.user.name;
  all["SHELL"] = situation_.user.shell;
  const std::string& server = situation_.ends.server;
  all["SSH_CONNECTION"] = situation_.ends.client + " " + server;
  all["SSH_CLIENT"] = situation_.ends.client + " " + server.substr(server.rfind(' ') + 1);
  if (has_terminal_) all["SSH_TTY"] = terminal_name_;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(name + "=" + value);
  return lines;
}

// Without a command: a login shell, which is told so by the '-' before its name.
bool SessionChannel::start(const std::optional<std::string>& command) {
  if (attached()) return false;
  const std::string& shell = situation_.user.shell;
  const std::string name = std::filesystem::path(shell).filename();
  os::Command wanted{.file = shell, .argv = {command ? name : "-" + name}, .env = environment(), .working_dir = situation_.user.home};
  if (command) wanted.argv.insert(wanted.argv.end(), {"-c", *command});
  try {
    adopt(terminal_ ? os::start_command(wanted, *terminal_) : os::start_command(wanted));
    return true;
  } catch (const Error& error) {
    log::warning("ssh", error.what());
    return false;
  }
}

bool SessionChannel::start_sftp() {
  if (attached()) return false;
  try {
    adopt(os::start_function([user = situation_.user] {
      ::umask(022);
      ::setenv("HOME", user.home.c_str(), 1);
      if (::chdir(user.home.c_str()) != 0 && ::chdir("/") != 0) return 1;
      sftp::serve(STDIN_FILENO, STDOUT_FILENO);
      return 0;
    }));
    return true;
  } catch (const Error& error) {
    log::warning("ssh", error.what());
    return false;
  }
}

void SessionChannel::adopt(os::Child child) {
  pid_ = child.pid;
  attach(std::move(child.in), std::move(child.out), std::move(child.err), false);
}

bool SessionChannel::child_ended(pid_t pid, int status) {
  if (pid != pid_) return false;
  pid_ = -1;
  status_ = status;
  return true;
}

// What the process has left behind may hold its output open; the status waits for that, as with sshd.
void SessionChannel::all_sent() {
  if (!status_) return;
  tell_end();
  finish();
}

void SessionChannel::tell_end() {
  if (WIFSIGNALED(*status_)) ssh_channel_request_send_exit_signal(handle(), signal_name(WTERMSIG(*status_)).c_str(), WCOREDUMP(*status_) ? 1 : 0, "", "");
  else ssh_channel_request_send_exit_status(handle(), WEXITSTATUS(*status_));
}

int SessionChannel::on_shell(ssh_session, ssh_channel, void* self) noexcept { return of(self).start(std::nullopt) ? 0 : 1; }

int SessionChannel::on_exec(ssh_session, ssh_channel, const char* command, void* self) noexcept { return of(self).start(command) ? 0 : 1; }

int SessionChannel::on_subsystem(ssh_session, ssh_channel, const char* name, void* self) noexcept {
  return std::string_view(name) == "sftp" && of(self).start_sftp() ? 0 : 1;
}

int SessionChannel::on_env(ssh_session, ssh_channel, const char* name, const char* value, void* self) noexcept {
  auto& asked = of(self).asked_;
  const std::string_view key(name), text(value);
  if (!may_be_set(key) || key.find('=') != key.npos || key.size() + text.size() > kMaxVariableBytes || asked.size() >= kMaxVariables) return 1;
  asked.insert_or_assign(std::string(key), std::string(text));
  return 0;
}

int SessionChannel::on_window(ssh_session, ssh_channel, int columns, int rows, int width_pixels, int height_pixels, void* self) noexcept {
  SessionChannel& channel = of(self);
  const os::TerminalSize size{size16(rows), size16(columns)};
  if (channel.terminal_ && !channel.attached()) channel.terminal_->resize(size, size16(width_pixels), size16(height_pixels));
  else if (channel.has_terminal_ && channel.input_fd() >= 0) os::resize_terminal(channel.input_fd(), size, size16(width_pixels), size16(height_pixels));
  return 0;
}

void SessionChannel::on_signal(ssh_session, ssh_channel, const char* name, void* self) noexcept {
  for (const Signal& signal : kSignals)
    if (std::string_view(name) == signal.name && of(self).pid_ > 0) ::kill(-of(self).pid_, signal.number);
}

}  // namespace riverbox::ssh
