// A shell in an environment container, as a terminal session wants it.
#include "docker/shell.hpp"
#include "host/environments.hpp"

namespace riverbox::host {

using EnvironmentShell = terminal::ExecShell<docker::ShellExec>;

std::unique_ptr<terminal::Shell> Environments::open_shell(const std::string& text, const terminal::OpenRequest& request) {
  auto [name, container] = resolve(text);
  if (!container.state.running || container.state.paused)
    throw Conflict("Container '" + name.str() + "' is not running (status: " + container.state.status + ")",
                   "Start it with `hakuriver.docker start-container " + name.str() + "`.");
  return std::make_unique<EnvironmentShell>(docker::ShellExec::open(engine_, container.id, EnvironmentShell::options(request)));
}

}  // namespace riverbox::host
