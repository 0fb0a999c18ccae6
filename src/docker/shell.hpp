// An interactive shell in a running container, on the local or a remote daemon.
//
// What `docker exec -it X bash` cannot give and this does:
// - the window has its size before the shell writes its first byte, on every engine;
// - bash is taken where there is one, sh otherwise, without `which` in the image;
// - hang_up() ends the shell and what was started in it. The Engine API has no call for that: closing an exec's
//   connection leaves its processes running for ever.
//
// How: a small script runs first (same pid as the shell, which it becomes by exec). It says who it is in one marker
// line and waits for one line of input; between the two the terminal is given its size.
#pragma once
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "docker/engine.hpp"

namespace riverbox::docker {

class ShellExec final : public Stream {
public:
  struct Options {
    bool tty = true;
    std::uint16_t rows = 24, columns = 80;    // ignored without tty
    std::map<std::string, std::string> env;   // TERM, LANG, ...
    std::string user, working_dir;            // empty: the container's
    std::vector<std::string> command;         // instead of the shell; found through $PATH
    std::chrono::milliseconds timeout{10000}; // of open() in all
  };

  // Blocking. Throws ContainerNotFoundError; DockerError of kind `conflict` when the container is not running or paused;
  // ContainerExecutionError when the image has no shell; DockerConnectionError. `engine` must outlive the result.
  static ShellExec open(Engine& engine, const std::string& container, const Options& options);
  ~ShellExec() override;  // closes the connection only; see hang_up()
  ShellExec(ShellExec&&) noexcept;

  // The conventions of Stream: read until nullopt before waiting for wait_fd(). Without tty the frames are taken apart.
  int wait_fd() const override { return exec_.stream->wait_fd(); }
  std::optional<size_t> read_some(char* buffer, size_t size) override;
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr);
  std::optional<size_t> write_some(const char* bytes, size_t size) override { return exec_.stream->write_some(bytes, size); }
  void shutdown_write() override { exec_.stream->shutdown_write(); }

  // Blocking; use their own connections, so another thread may read and write meanwhile. Throw DockerError.
  void resize(std::uint16_t rows, std::uint16_t columns);  // without tty: nothing
  int exit_status();                                       // waits up to 5 s for the end; -1 when it still runs then
  // The client is gone: SIGHUP to the shell, and 0.5 s later SIGKILL to what is left of its session. Returns when they
  // are gone, within about 2 s. What left the session (setsid, tmux) or ignores SIGHUP on purpose (nohup) lives on.
  // A container that is gone or stopped is fine, a shell that has ended too.
  void hang_up();

  const std::string& exec_id() const { return exec_.id; }
  long pid() const { return pid_; }  // in the container

private:
  struct Chunk {
    bool is_stderr;
    std::string bytes;
  };
  ShellExec(Engine& engine, std::string container, bool tty) : engine_(&engine), container_(std::move(container)), tty_(tty) {}
  void start(const Options& options);
  void read_marker(const std::string& token, std::chrono::steady_clock::time_point until);
  bool parse_marker(std::string_view line, const std::string& token);
  void set_first_size(const Options& options, std::chrono::steady_clock::time_point until);
  void go(std::chrono::steady_clock::time_point until);
  bool fill();  // reads once from the connection into chunks_; false: would block

  Engine* engine_;
  std::string container_;
  bool tty_;
  Exec exec_;
  Demux demux_;
  std::deque<Chunk> chunks_;
  bool ended_ = false;
  std::string_view echo_left_;       // of our own line, still to be swallowed
  long pid_ = 0;
  std::string start_time_;           // of that pid, in clock ticks after boot: the pair names the process for ever
  bool hangup_was_ignored_ = false;  // from birth: a daemon started by nohup hands it down to everything
};

}  // namespace riverbox::docker
