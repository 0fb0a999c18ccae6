// A command that outlives whoever had it started: a supervisor (os/supervisor.hpp) runs it, and both speak through the files of one folder. Here is the side that asks.
//
//   command.json   what to run; with it the folder is complete
//   lock           held by the supervisor as long as it lives: neither a process that got its number later nor a restart of the machine can be taken for it
//   started.json   durable before the command runs, so nothing runs twice
//   stdout, stderr what it writes
//   control        a FIFO: a line for each request, see ask()
//   paused         is there while it is
//   ended.json     how it ended; durable before the supervisor goes. Nothing of it runs then
//   failed         why the supervisor could not begin
//
// Everything is of this machine: the folder must not lie on a network file system. All calls block for as long as the disk needs.
#pragma once
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "os/cgroup.hpp"

namespace riverbox::os {

struct SupervisedCommand {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  // PATH, HOME, USER, LOGNAME and SHELL are added where they are missing, nothing else
  std::string working_dir;
  std::string user;   // name or number; empty: as the supervisor
  std::string group;  // name of the control group, unique on this machine
  GroupLimits limits;
};
void to_json(nlohmann::json& j, const SupervisedCommand& command);
void from_json(const nlohmann::json& j, SupervisedCommand& command);  // throws BadData

struct SupervisedState {
  enum class Phase { prepared, running, ended, gone };  // gone: without a word of how it ended
  Phase phase = Phase::prepared;
  bool paused = false, oom_killed = false;
  int exit_code = 0;                     // 128+n for a signal, as a shell says it
  std::string error;                     // why it could not be run, or was ended; a clause
  std::string started_at, finished_at;   // RFC 3339
  std::vector<std::string> notes;        // what is not enforced, a sentence each
  bool machine_restarted = false;        // since it was started; with `gone` this is why
};

class Supervised {
public:
  enum class Request { kill, pause, resume };

  // Makes the folder, durably. What is there of an earlier try that never started is replaced.
  static Supervised prepare(const std::filesystem::path& folder, const SupervisedCommand& command);
  explicit Supervised(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool exists() const;  // and is complete
  // Throws NotFound when the folder is gone.
  SupervisedState state() const;
  // Returns when the command has been started, maybe by an earlier call. Throws Unavailable when it has not been and never will be.
  void start() const;
  // False: nobody is there to ask. What was asked for comes true soon after.
  bool ask(Request request) const;
  bool signal(int number) const;  // to all of it; likewise
  // What follows on `from` bytes of the output, at most some 64 KB; empty: nothing, now.
  std::string read_output(bool is_stderr, std::uint64_t from) const;
  // Ends what still runs, and removes the folder. Throws Timeout when it does not end.
  void remove() const;

private:
  bool supervisor_lives() const;
  bool has(const char* file) const;
  bool is_started_within(std::chrono::seconds time) const;
  bool give_up() const;
  bool tell(std::string_view line) const;
  std::filesystem::path folder_;
};

// The file names above, for both sides.
namespace supervised_file {
inline constexpr const char *kCommand = "command.json", *kLock = "lock", *kStarted = "started.json", *kOutput = "stdout", *kErrors = "stderr", *kControl = "control", *kPaused = "paused",
                            *kEnded = "ended.json", *kFailed = "failed";
}

std::string boot_id();  // of this start of the machine

}  // namespace riverbox::os
