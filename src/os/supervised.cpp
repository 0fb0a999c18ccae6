#include "os/supervised.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <thread>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"

namespace riverbox::os {
namespace {

namespace fs = std::filesystem;
using namespace supervised_file;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds kStartTime{30}, kEndTime{10};
constexpr size_t kPieceBytes = 64 << 10;

// nullopt: there is no such file.
std::optional<json> read_json(const fs::path& file) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const IoError& error) {
    if (error.error_number() == ENOENT) return std::nullopt;
    throw;
  }
  json value = json::parse(text, nullptr, false);
  if (!value.is_object()) throw BadData(file.string() + " is damaged");
  return value;
}

std::string own_program() {
  std::string path = fs::read_symlink("/proc/self/exe").string();
  if (path.ends_with(" (deleted)")) path.resize(path.size() - 10);  // it was updated: the new one does as well
  return fs::exists(path) ? path : "/proc/self/exe";
}

bool has_service_manager() { return ::geteuid() == 0 && ::access("/run/systemd/system", F_OK) == 0; }

// A service of its own: it gets none of the restrictions that ours may have, control groups that systemd leaves to it, and outlives us.
std::vector<std::string> service_call(const fs::path& folder) {
  std::vector<std::string> argv{"systemd-run", "--quiet", "--collect", "--service-type=exec", "--unit=" + folder.filename().string() + ".service",
                                "--description=riverbox task " + folder.filename().string()};
  for (const char* property : {"Delegate=yes", "KillMode=mixed", "OOMPolicy=continue", "TasksMax=infinity", "TimeoutStopSec=15"}) argv.push_back(std::string("--property=") + property);
  for (const std::string& word : {own_program(), std::string("__supervise"), std::string("--delegated"), folder.string()}) argv.push_back(word);
  return argv;
}

// Empty, or why nothing was started. It forks and leaves us.
std::string run_starter(const std::vector<std::string>& argv) {
  try {
    const auto result = run_process(argv, kStartTime);
    return result.exit_code == 0 ? "" : fmt::format("{}: exit code {}: {}", argv[0], result.exit_code, printable(trim(result.stderr_text)));
  } catch (const Error& error) {
    return error.fact();
  }
}

}  // namespace

void to_json(json& j, const SupervisedCommand& command) {
  const auto& limits = command.limits;
  j = json{{"argv", command.argv}, {"env", command.env}, {"working_dir", command.working_dir}, {"user", command.user}, {"group", command.group}, {"memory_bytes", limits.memory_bytes},
           {"cores", limits.cores}, {"processes", limits.processes}, {"cpus", limits.cpus}, {"memory_node", limits.memory_node ? json(*limits.memory_node) : json()}};
}

void from_json(const json& j, SupervisedCommand& command) {
  try {
    auto& limits = command.limits;
    j.at("argv").get_to(command.argv);
    j.at("env").get_to(command.env);
    j.at("working_dir").get_to(command.working_dir);
    j.at("user").get_to(command.user);
    j.at("group").get_to(command.group);
    j.at("memory_bytes").get_to(limits.memory_bytes);
    j.at("cores").get_to(limits.cores);
    limits.processes = j.value("processes", std::int64_t{0});  // a runner from before an upgrade does not say it
    j.at("cpus").get_to(limits.cpus);
    if (const json& node = j.at("memory_node"); !node.is_null()) limits.memory_node = node.get<int>();
  } catch (const json::exception& error) {
    throw BadData(fmt::format("the description of a command cannot be read: {}", error.what()));
  }
  if (command.argv.empty()) throw BadData("the description of a command names no program");
}

std::string boot_id() {
  try {
    return std::string(trim(read_file("/proc/sys/kernel/random/boot_id")));
  } catch (const Error&) {
    return {};  // unknown: then nothing is said of restarts
  }
}

Supervised Supervised::prepare(const fs::path& folder, const SupervisedCommand& command) {
  Supervised made(folder);
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder.parent_path(), error);  // what is wrong, mkdir says
  if (::mkdir(folder.c_str(), 0700) != 0) throw IoError("create " + folder.string(), errno);
  for (const char* file : {kLock, kOutput, kErrors}) open_at(folder / file, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (::mkfifo((folder / kControl).c_str(), 0600) != 0) throw IoError("create " + (folder / kControl).string(), errno);
  const json description = command;
  write_atomically(folder / kCommand, description.dump(-1, ' ', false, json::error_handler_t::replace), 0600);
  fsync_dir(folder.parent_path());
  return made;
}

bool Supervised::has(const char* file) const {
  struct stat status {};
  return ::lstat((folder_ / file).c_str(), &status) == 0;
}

bool Supervised::exists() const { return has(kCommand); }

// Looks, and takes nothing: a supervisor that begins just now must not find the lock taken.
bool Supervised::supervisor_lives() const {
  const UniqueFd fd(::open((folder_ / kLock).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return ::fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

SupervisedState Supervised::state() const {
  using Phase = SupervisedState::Phase;
  SupervisedState state;
  const auto started = read_json(folder_ / kStarted);
  if (!started) {
    if (!exists()) throw NotFound("the folder " + folder_.string() + " of the command is gone");
    return state;
  }
  state.started_at = started->value("started_at", "");
  state.notes = started->value("notes", std::vector<std::string>());
  auto ended = read_json(folder_ / kEnded);
  const bool lives = !ended && supervisor_lives();
  if (!ended && !lives) ended = read_json(folder_ / kEnded);  // written between the two looks
  state.phase = ended ? Phase::ended : lives ? Phase::running : Phase::gone;
  state.paused = state.phase == Phase::running && has(kPaused);
  state.machine_restarted = started->value("boot_id", "") != boot_id();
  if (!ended) return state;
  state.exit_code = ended->value("exit_code", 0);
  state.error = ended->value("error", "");
  state.oom_killed = ended->value("oom_killed", false);
  state.finished_at = ended->value("finished_at", "");
  return state;
}

bool Supervised::is_started_within(seconds time) const {
  for (const auto end = Clock::now() + time; !has(kStarted); std::this_thread::sleep_for(milliseconds(2)))
    if (has(kFailed) || Clock::now() > end) return false;
  return true;
}

// True: no supervisor begins with this folder any more.
bool Supervised::give_up() const {
  const UniqueFd fd(::open((folder_ / kLock).c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (fd && ::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) return false;  // one is about to
  if (has(kStarted)) return false;
  ::unlink((folder_ / kCommand).c_str());
  return true;
}

void Supervised::start() const {
  std::string trouble;
  const std::vector<std::string> by_itself{own_program(), "__supervise", folder_.string()};
  std::vector<std::vector<std::string>> ways{by_itself};
  if (has_service_manager()) ways.insert(ways.begin(), service_call(folder_));
  for (const auto& way : ways) {
    ::unlink((folder_ / kFailed).c_str());
    trouble = run_starter(way);
    if (is_started_within(trouble.empty() ? kStartTime : seconds(0))) return;
    if (has(kFailed)) trouble = read_file(folder_ / kFailed);
    if (trouble.empty()) trouble = fmt::format("nothing happened for {} s", kStartTime.count());
    log::warning("runner", "cannot start the supervisor of a task", {{"folder", folder_.string()}, {"by", way[0]}, {"reason", trouble}});
  }
  while (!give_up())
    if (is_started_within(seconds(1))) return;
  throw Unavailable("cannot start the supervisor of the command: " + trouble);
}

bool Supervised::ask(Request request) const {
  static constexpr const char* kLines[] = {"kill\n", "pause\n", "resume\n"};
  return tell(kLines[static_cast<int>(request)]);
}

bool Supervised::signal(int number) const { return number == SIGKILL ? ask(Request::kill) : tell(fmt::format("signal {}\n", number)); }

bool Supervised::tell(std::string_view line) const {
  const UniqueFd fd(::open((folder_ / kControl).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  return fd && ::write(fd.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

std::string Supervised::read_output(bool is_stderr, std::uint64_t from) const {
  const fs::path file = folder_ / (is_stderr ? kErrors : kOutput);
  const UniqueFd fd = open_read(file);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw IoError("examine " + file.string(), errno);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  return size <= from ? "" : pread_exact(fd.get(), static_cast<size_t>(std::min<std::uint64_t>(size - from, kPieceBytes)), static_cast<off_t>(from), file);
}

void Supervised::remove() const {
  for (const auto end = Clock::now() + kEndTime; supervisor_lives(); std::this_thread::sleep_for(milliseconds(5))) {
    ask(Request::kill);
    if (Clock::now() > end) throw Timeout("the command in " + folder_.string() + " does not end");
  }
  if (const auto started = has(kStarted) ? read_json(folder_ / kStarted) : std::nullopt) end_groups(started->value("groups", std::vector<std::string>()));
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) throw IoError("remove " + folder_.string(), error.value());
}

}  // namespace riverbox::os
