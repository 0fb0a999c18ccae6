// A shell in an environment container, as a terminal session wants it.
#include "docker/shell.hpp"
#include "host/environments.hpp"

namespace riverbox::host {
namespace {

class EnvironmentShell final : public terminal::Shell {
public:
  explicit EnvironmentShell(docker::ShellExec shell) : shell_(std::move(shell)) {}
  int wait_fd() const override { return shell_.wait_fd(); }
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) override { return shell_.read_some(buffer, size, is_stderr); }
  std::optional<size_t> write_some(const char* bytes, size_t size) override { return shell_.write_some(bytes, size); }
  void shutdown_write() override { shell_.shutdown_write(); }
  void resize(std::uint16_t rows, std::uint16_t columns) override { shell_.resize(rows, columns); }
  int exit_status() override { return shell_.exit_status(); }
  void hang_up() override { shell_.hang_up(); }

private:
  docker::ShellExec shell_;
};

}  // namespace

std::unique_ptr<terminal::Shell> Environments::open_shell(const std::string& text, const terminal::OpenRequest& request) {
  auto [name, container] = resolve(text);
  if (!container.state.running || container.state.paused)
    throw Conflict("Container '" + name.str() + "' is not running (status: " + container.state.status + ")",
                   "Start it with `hakuriver.docker start-container " + name.str() + "`.");
  docker::ShellExec::Options options;
  options.tty = request.tty;
  options.rows = request.rows;
  options.columns = request.columns;
  options.env = request.env;
  return std::make_unique<EnvironmentShell>(docker::ShellExec::open(engine_, container.id, options));
}

}  // namespace riverbox::host
