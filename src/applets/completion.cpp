// riverbox completion SHELL: the completion scripts, which are part of the program (the folder completions/).
#include <string_view>

#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "base/error.hpp"

namespace riverbox::applets {

namespace {
struct Script {
  std::string_view shell, text;
};
constexpr Script kScripts[] = {
#include "applets/completion_scripts.inc"
};
}  // namespace

const Command& completion_command() {
  static const Command command{
      .name = "completion",
      .examples = "source <(riverbox completion bash)\n"
                  "riverbox completion zsh > \"$HOME/.zfunc/_riverbox\"\n"
                  "riverbox completion fish > ~/.config/fish/completions/riverbox.fish",
      .details = "Completes commands, options, and the names of containers, environments, nodes and tasks as they are now.",
      .arguments = {{.name = "SHELL", .help = "bash, zsh or fish", .complete = "bash|zsh|fish"}},
  };
  return command;
}

int run_completion(const Invocation& invocation) {
  const Arguments arguments = parse(completion_command(), invocation);
  const std::string shell = arguments.value("SHELL");
  for (const Script& script : kScripts) {
    if (script.shell != shell) continue;
    write_out(script.text);
    return 0;
  }
  throw UsageError("there is no completion for '" + shell + "'.", "There is one for bash, zsh and fish.");
}

}  // namespace riverbox::applets
