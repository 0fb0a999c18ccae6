#include "docker/shell.hpp"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/strings.hpp"

namespace riverbox::docker {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

// Only POSIX sh and its builtins. $1 is a random token, the rest the command to run instead of a shell.
// Names begin with rb_ because assigning to a variable of the container's environment would change it for the shell.
// Marker line: token, pid, start time (field 22 of stat), 1 if SIGHUP is ignored.
constexpr const char* kStartScript = R"sh(
rb_token=$1; shift
rb_stat=; rb_ignored=0
{ IFS= read -r rb_stat </proc/$$/stat; } 2>/dev/null
{ while read -r rb_key rb_value; do
    case $rb_key in SigIgn:) case $rb_value in *[13579bdf]) rb_ignored=1;; esac;; esac
  done </proc/$$/status; } 2>/dev/null
rb_mark() { printf '%s %s %s %s\n' "$rb_token" "$$" "${20:-0}" "$rb_ignored"; }
rb_mark ${rb_stat##*) }
IFS= read -r rb_line || exit 129
[ $# -gt 0 ] && exec "$@"
command -v bash >/dev/null 2>&1 && exec bash
exec sh
)sh";

// $1 pid of the shell, $2 its start time, $3 1 if SIGHUP was ignored from its birth (then ignoring it means nothing).
constexpr const char* kHangUpScript = R"sh(
shell=$1 born=$2 inherited=$3
stat_of() { s=; { IFS= read -r s <"/proc/$1/stat"; } 2>/dev/null; [ -n "$s" ]; }
ignores() {
  { while read -r key value; do
      case $key in SigIgn:) case $value in *[13579bdf]) return 0;; esac; return 1;; esac
    done <"/proc/$1/status"; } 2>/dev/null
  return 1
}
belongs() { [ "$4" = "$shell" ] && [ "$1" != Z ] && [ "$1" != X ]; }
left() {
  found=
  for d in /proc/[0-9]*; do
    p=${d#/proc/}
    stat_of "$p" || continue
    belongs ${s##*) } || continue
    [ "$p" != "$shell" ] && [ "$inherited" = 0 ] && ignores "$p" && continue
    found="$found $p"
  done
  [ -n "$found" ]
}
if stat_of "$shell"; then
  set -- ${s##*) }
  [ "${20}" = "$born" ] || exit 0
  kill -HUP "$shell" 2>/dev/null
  kill -CONT "$shell" 2>/dev/null
fi
n=0
while [ $n -lt 5 ]; do
  left || exit 0
  sleep 0.1 2>/dev/null || break
  n=$((n+1))
done
n=0
while left && [ $n -lt 20 ]; do
  kill -KILL $found 2>/dev/null
  n=$((n+1))
  sleep 0.05 2>/dev/null
done
)sh";

[[noreturn]] void throw_not_running(Engine& engine, const std::string& container) {
  auto found = engine.inspect_container(container);
  auto name = found.name.empty() ? container : found.name;
  if (found.state.paused)
    throw DockerError("Container '" + name + "' is paused", "Unpause it first (docker unpause " + name + ").", ErrorKind::conflict);
  auto environment = extract_environment_from_name(name);
  throw DockerError("Container '" + name + "' is not running (status: " + found.state.status + ")",
                    "Start it first: " + (environment ? "riverbox docker start-container " + *environment : "docker start " + name) + ".",
                    ErrorKind::conflict);
}

bool waits_readable(int fd, Clock::time_point until) {
  auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now()).count();
  pollfd waited{fd, POLLIN, 0};
  return left > 0 && ::poll(&waited, 1, static_cast<int>(left)) > 0;
}

}  // namespace

ShellExec::~ShellExec() = default;
ShellExec::ShellExec(ShellExec&&) noexcept = default;

ShellExec ShellExec::open(Engine& engine, const std::string& container, const Options& options) {
  ShellExec shell(engine, container, options.tty);
  shell.start(options);
  return shell;
}

void ShellExec::start(const Options& options) {
  const auto until = Clock::now() + options.timeout;
  const std::string token = random_hex(8);
  ExecSpec spec;
  spec.command = {"/bin/sh", "-c", kStartScript, "sh", token};
  spec.command.insert(spec.command.end(), options.command.begin(), options.command.end());
  for (auto& [key, value] : options.env) spec.env.push_back(key + "=" + value);
  spec.user = options.user;
  spec.working_dir = options.working_dir;
  spec.tty = options.tty;
  if (options.tty) spec.rows = options.rows, spec.columns = options.columns;
  try {
    exec_ = engine_->start_exec(container_, spec);
  } catch (const ContainerNotFoundError&) {
    throw;
  } catch (const DockerError& error) {
    if (error.kind() != ErrorKind::conflict) throw;
    throw_not_running(*engine_, container_);
  }
  try {
    read_marker(token, until);
    if (tty_) set_first_size(options, until);
    go(until);
  } catch (...) {
    // Nobody will write the line that the script waits for: the end of the connection ends it, but not with every engine.
    if (pid_ > 0) {
      try {
        hang_up();
      } catch (const Error&) {
      }
    }
    throw;
  }
}

bool ShellExec::fill() {
  char buffer[32 << 10];
  auto got = exec_.stream->read_some(buffer, sizeof buffer);
  if (!got) return false;
  std::string_view bytes(buffer, *got);
  if (bytes.empty()) {
    ended_ = true;
  } else if (tty_) {
    chunks_.push_back({false, std::string(bytes)});
  } else {
    demux_.feed(bytes, [this](bool is_stderr, std::string_view part) { chunks_.push_back({is_stderr, std::string(part)}); });
  }
  return true;
}

bool ShellExec::parse_marker(std::string_view line, const std::string& token) {
  auto words = split(trim(line), ' ');
  if (words.size() != 4 || words[0] != token) return false;
  pid_ = static_cast<long>(parse_u64(words[1]).value_or(0));
  start_time_ = words[2];
  hangup_was_ignored_ = words[3] == "1";
  return true;
}

// Reads to the marker line. Other output can only be the complaint of a runtime that found no /bin/sh.
void ShellExec::read_marker(const std::string& token, Clock::time_point until) {
  std::string said;
  for (;;) {
    while (!chunks_.empty()) {
      said += chunks_.front().bytes;
      chunks_.pop_front();
    }
    for (size_t begin = 0, end; (end = said.find('\n', begin)) != said.npos; begin = end + 1) {
      if (!parse_marker(std::string_view(said).substr(begin, end - begin), token)) continue;
      if (end + 1 < said.size()) chunks_.push_front({false, said.substr(end + 1)});
      return;
    }
    if (ended_ || said.size() > 64 << 10) break;
    if (!fill() && !waits_readable(wait_fd(), until))
      throw ContainerExecutionError("cannot open a shell in container '" + container_ + "': it did not start in time",
                                    "The machine may be overloaded: try again.", ErrorKind::timeout);
  }
  const std::string cause = printable(trim(said), 300);
  if (said.find("not found") != said.npos || said.find("no such file") != said.npos)
    throw ContainerExecutionError("No suitable shell found in container", "The image needs /bin/sh.");
  if (!engine_->inspect_container(container_).state.running) throw_not_running(*engine_, container_);
  throw ContainerExecutionError("cannot open a shell in container '" + container_ + "': " + (cause.empty() ? "it ended at once" : cause));
}

void ShellExec::set_first_size(const Options& options, Clock::time_point until) {
  if (options.rows == 0 || options.columns == 0) return;
  for (;;) {
    try {
      return engine_->resize_exec(exec_.id, options.rows, options.columns);
    } catch (const DockerConnectionError&) {
      throw;
    } catch (const DockerError&) {
      // The engine knows the exec a moment after its first byte. A terminal of the wrong size is better than none.
      if (Clock::now() + milliseconds(100) > until - milliseconds(1000)) return;
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
}

void ShellExec::go(Clock::time_point until) {
  if (tty_) echo_left_ = "\r\n";
  while (!exec_.stream->write_some("\n", 1)) {
    if (Clock::now() > until)
      throw DockerConnectionError("cannot open a shell in container '" + container_ + "': the Docker daemon takes no input");
    std::this_thread::sleep_for(milliseconds(5));
  }
}

std::optional<size_t> ShellExec::read_some(char* buffer, size_t size) {
  bool is_stderr;
  return read_some(buffer, size, is_stderr);
}

std::optional<size_t> ShellExec::read_some(char* buffer, size_t size, bool& is_stderr) {
  for (;;) {
    while (chunks_.empty()) {
      if (ended_) return 0;
      if (!fill()) return std::nullopt;
    }
    auto& chunk = chunks_.front();
    size_t echoed = 0;
    while (echoed < chunk.bytes.size() && !echo_left_.empty()) {
      if (chunk.bytes[echoed] != echo_left_.front()) {
        echo_left_ = {};  // the terminal does not echo
        break;
      }
      echo_left_.remove_prefix(1);
      ++echoed;
    }
    size_t take = std::min(size, chunk.bytes.size() - echoed);
    std::memcpy(buffer, chunk.bytes.data() + echoed, take);
    is_stderr = chunk.is_stderr;
    chunk.bytes.erase(0, echoed + take);
    if (chunk.bytes.empty()) chunks_.pop_front();
    if (take > 0) return take;
  }
}

void ShellExec::resize(std::uint16_t rows, std::uint16_t columns) {
  if (tty_ && rows > 0 && columns > 0) engine_->resize_exec(exec_.id, rows, columns);
}

int ShellExec::exit_status() {
  for (auto end = Clock::now() + milliseconds(5000);;) {
    auto state = engine_->inspect_exec(exec_.id);
    if (!state.running) return state.exit_code;
    if (Clock::now() >= end) return -1;
    std::this_thread::sleep_for(milliseconds(10));
  }
}

void ShellExec::hang_up() {
  if (pid_ <= 1) return;  // never the container's own process
  ExecSpec spec;
  spec.command = {"/bin/sh", "-c", kHangUpScript, "sh", std::to_string(pid_), start_time_, hangup_was_ignored_ ? "1" : "0"};
  spec.user = "0";  // a shell may have become root by su
  spec.attach_stdin = false;
  try {
    auto exec = engine_->start_exec(container_, spec);
    const auto until = Clock::now() + milliseconds(10000);
    char buffer[4096];
    for (;;) {
      auto got = exec.stream->read_some(buffer, sizeof buffer);
      if (got && *got == 0) return;
      if (!got && !waits_readable(exec.stream->wait_fd(), until)) return;
    }
  } catch (const DockerError& error) {
    if (error.kind() != ErrorKind::not_found && error.kind() != ErrorKind::conflict) throw;
  }
}

}  // namespace riverbox::docker
