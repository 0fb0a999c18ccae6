// riverbox version
#include "applets/commands.hpp"
#include "applets/output.hpp"

namespace riverbox::applets {

const Command& version_command() {
  static const Command command{.name = "version", .examples = "riverbox version", .details = "Prints the version."};
  return command;
}

int run_version(const Invocation& invocation) {
  parse(version_command(), invocation);
  write_out(version_line());
  return 0;
}

}  // namespace riverbox::applets
