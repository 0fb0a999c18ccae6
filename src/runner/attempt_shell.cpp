// What comes into the container of an attempt from outside: shells, as terminal sessions want them, and tunnels.
#include <chrono>
#include <csignal>
#include <thread>

#include "base/error.hpp"
#include "docker/shell.hpp"
#include "runner/attempt.hpp"

namespace riverbox::runner {
namespace {

using ContainerShell = terminal::ExecShell<docker::ShellExec>;
constexpr auto kEndIsKnown = std::chrono::seconds(1);  // after the end of what ran in the container

// One that was ended because the task has says that, and not 137 or, where the end is orderly, 129.
class TaskShell final : public ContainerShell {
public:
  TaskShell(docker::Engine& engine, std::string container, TaskId task, docker::ShellExec exec)
      : ContainerShell(std::move(exec)), engine_(engine), container_(std::move(container)), task_(task) {}

  int exit_status() override {
    try {
      const int status = ContainerShell::exit_status();
      if ((status != 128 + SIGKILL && status != 128 + SIGHUP) || !task_ends()) return status;
    } catch (const docker::DockerError& error) {
      if (error.kind() != ErrorKind::not_found) throw;
    }
    throw Conflict("task " + task_.str() + " has ended");
  }

private:
  // The engine knows of the end of a container a moment after that of what ran in it.
  bool task_ends() const {
    for (const auto until = std::chrono::steady_clock::now() + kEndIsKnown; std::chrono::steady_clock::now() < until;) {
      if (!engine_.inspect_container(container_).state.running) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  docker::Engine& engine_;
  const std::string container_;
  const TaskId task_;
};

}  // namespace

std::string Attempt::container() const {
  if (task_.runs_on_host()) throw Conflict("task " + task_.id.str() + " has no container, and its ports are those of its node");
  running_container();  // throws when it does not run
  return name_;
}

void Attempt::start_tunnel() {
  const auto container = running_container();
  if (!task_.vps) services_.engine.start_detached_exec(container, {"/usr/local/bin/tunnel-client", "--log-level", "error"});
}

std::unique_ptr<terminal::Shell> Attempt::open_shell(const terminal::OpenRequest& request) {
  if (task_.runs_on_host()) throw Conflict("task " + task_.id.str() + " has no container, and a shell on a node itself is not given");
  auto container = running_container();
  try {
    auto exec = docker::ShellExec::open(services_.engine, container, ContainerShell::options(request));
    return std::make_unique<TaskShell>(services_.engine, std::move(container), task_.id, std::move(exec));
  } catch (const docker::DockerError& error) {
    if (error.kind() != ErrorKind::conflict && error.kind() != ErrorKind::not_found) throw;
    throw Conflict("task " + task_.id.str() + " is paused or has ended", "This tells which: riverbox task status " + task_.id.str() + ".");
  }
}

}  // namespace riverbox::runner
