#include "runner/host_processes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Phase = os::SupervisedState::Phase;
using std::chrono::milliseconds;

constexpr auto kObeys = std::chrono::seconds(5);  // to be paused or to go on
constexpr int kUnknownExit = 255;                 // as Docker says it of a container whose machine went down
constexpr milliseconds kShortestLook{2}, kLongestLook{50};

// Its folder on this machine, of one that is meant as a container sees it.
std::string outside(const std::string& path, const NodeFacts& facts) {
  const auto below = [&](std::string_view mount, const fs::path& source) -> std::optional<std::string> {
    if (!path.starts_with(mount) || (path.size() > mount.size() && path[mount.size()] != '/')) return std::nullopt;
    return source.string() + path.substr(mount.size());
  };
  if (auto found = below("/shared", facts.shared_dir / "shared_data")) return *found;
  if (auto found = below("/local_temp", facts.local_temp_dir)) return *found;
  return path;
}

// Sleeps longer and longer while nothing happens.
class Looks {
public:
  void something_happened() { next_ = kShortestLook; }
  void sleep() {
    std::this_thread::sleep_for(next_);
    next_ = std::min(next_ * 2, kLongestLook);
  }

private:
  milliseconds next_ = kShortestLook;
};

}  // namespace

os::SupervisedCommand host_command(const TaskSpec& task, const NodeFacts& facts, const HostTaskOptions& options) {
  os::SupervisedCommand command;
  command.argv = task_argv(task);
  command.working_dir = outside(task.working_dir, facts);
  command.user = options.user;
  command.limits.memory_bytes = task.memory_bytes;
  command.limits.cores = task.cores;
  command.limits.processes = facts.pids_limit;
  const auto spec = container_spec(task, {}, facts);  // the same words for the same things
  for (const std::string& cpu : split(spec.cpuset_cpus, ',')) command.limits.cpus.push_back(static_cast<int>(parse_u64(cpu).value()));
  command.limits.memory_node = task.numa;
  for (const std::string& variable : spec.env) {
    const size_t equals = variable.find('=');
    command.env[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  for (const char* ours : {"HAKURIVER_SHARED_DIR", "HAKURIVER_LOCAL_TEMP_DIR", "KOHAKURIVER_SHARED_DIR", "KOHAKURIVER_LOCAL_TEMP_DIR"})
    if (const auto at = command.env.find(ours); at != command.env.end()) at->second = outside(at->second, facts);
  // No container keeps it from the GPUs of others: it is told which are its own, in the order of nvidia-smi.
  std::vector<std::string> gpus;
  for (const int gpu : task.gpus) gpus.push_back(std::to_string(gpu));
  command.env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
  command.env["CUDA_VISIBLE_DEVICES"] = join(gpus, ",");
  return command;
}

HostProcesses::HostProcesses(fs::path folder, NodeFacts facts, HostTaskOptions options)
    : folder_(std::move(folder)), facts_(std::move(facts)), options_(std::move(options)) {}

std::string HostProcesses::id_of(const AttemptId& attempt) const { return facts_.naming.task_container(attempt.task) + "-" + std::to_string(attempt.attempt); }

docker::Container HostProcesses::container(const std::string& id) {
  docker::Container container;
  container.id = container.name = id;
  container.state = state(id);
  return container;
}

std::optional<docker::Container> HostProcesses::find(const AttemptId& attempt) {
  const auto id = id_of(attempt);
  if (!at(id).exists()) return std::nullopt;
  return container(id);
}

docker::Container HostProcesses::make(const TaskSpec& task) {
  if (!options_.allowed)
    throw Forbidden(fmt::format("node {} runs no tasks without a container", facts_.node), "Set [runner] allow_host_tasks = true in its configuration, or name an environment.");
  prepare_mounts(task, facts_);
  auto command = host_command(task, facts_, options_);
  const auto id = id_of({task.id, task.attempt});
  command.group = id;
  os::Supervised::prepare(folder_ / id, command);
  return container(id);
}

docker::ContainerState HostProcesses::state(const std::string& id) {
  const auto state = at(id).state();
  docker::ContainerState out;
  out.running = state.phase == Phase::running;
  out.status = state.phase == Phase::prepared ? "created" : !out.running ? "exited" : state.paused ? "paused" : "running";
  out.paused = state.paused;
  out.exit_code = state.exit_code;
  out.error = state.error;
  out.oom_killed = state.oom_killed;
  out.started_at = state.started_at;
  out.finished_at = state.finished_at;
  if (state.phase == Phase::gone) {
    out.exit_code = kUnknownExit;
    out.error = state.machine_restarted ? "the machine was restarted while it ran" : "its supervisor was ended from outside, and the task with it";
  }
  return out;
}

void HostProcesses::start(const std::string& id) {
  const auto process = at(id);
  process.start();
  for (const std::string& note : process.state().notes) log::warning("runner", "a task without a container runs with less than it asked for", {{"task", id}, {"reason", note}});
}

void HostProcesses::signal(const std::string& id, const std::string& name) {
  if (!at(id).signal(signal_number(name)) && state(id).running) throw Unavailable("the supervisor of task " + id + " does not listen");
}

void HostProcesses::set_paused(const std::string& id, bool paused) {
  const auto process = at(id);
  process.ask(paused ? os::Supervised::Request::pause : os::Supervised::Request::resume);
  Looks looks;
  for (const auto end = Clock::now() + kObeys; Clock::now() < end; looks.sleep()) {
    const auto now = state(id);
    if (!now.running && paused) throw Conflict("task " + id + " is not running");
    if (!now.running || now.paused == paused) return;
  }
  throw Timeout(fmt::format("task {} was not {} within {} s", id, paused ? "paused" : "resumed", kObeys.count()));
}

void HostProcesses::wait(const std::string& id, const CancelToken& cancel) {
  for (Looks looks; state(id).running; looks.sleep()) cancel.check("waiting for a task");
}

void HostProcesses::follow(const std::string& id, const CancelToken& cancel, const Sink& sink) {
  const auto process = at(id);
  std::uint64_t read[2] = {0, 0};
  const auto pass_on = [&] {
    bool any = false;
    for (const bool is_stderr : {false, true}) {
      const auto bytes = process.read_output(is_stderr, read[is_stderr]);
      if (bytes.empty()) continue;
      sink(is_stderr, bytes);
      read[is_stderr] += bytes.size();
      any = true;
    }
    return any;
  };
  for (Looks looks;;) {
    cancel.check("following the output of a task");
    const auto phase = process.state().phase;
    while (pass_on()) {
      looks.something_happened();
      cancel.check("following the output of a task");
    }
    if (phase == Phase::ended || phase == Phase::gone) return;  // and what was read after that is all
    looks.sleep();
  }
}

void HostProcesses::remove(const std::string& id) { at(id).remove(); }

void HostProcesses::remove_leftovers(const std::function<bool(const std::string& id)>& is_known) {
  try {
    if (!fs::is_directory(folder_)) return;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto id = entry.path().filename().string();
      if (is_known(id)) continue;
      if (at(id).exists() && at(id).state().phase == Phase::running) {
        log::warning("runner", "a task without a container runs that no attempt belongs to; it is left alone", {{"task", id}});
        continue;
      }
      log::info("runner", "removing what is left of a task that is over", {{"task", id}});
      remove(id);
    }
  } catch (const std::exception& error) {
    log::debug("runner", "cannot look for leftover tasks", {{"reason", error.what()}});
  }
}

}  // namespace riverbox::runner
