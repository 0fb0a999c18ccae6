// riverbox config: what is configured, and where each value comes from.
#include <algorithm>

#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "base/config.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

void print_table(const Config& config) {
  const bool colours = stdout_has_colours();
  const std::string from = config.file.empty() ? "no configuration file" : config.file.string();
  write_out("# " + printable(from, 4000) + "\n");
  const std::vector<Config::Shown> rows = config.show();
  size_t width = 0;
  for (const Config::Shown& row : rows) width = std::max(width, std::min<size_t>(60, display_width(row.key + " = " + row.value)));
  for (const Config::Shown& row : rows) {
    const std::string setting = printable(row.key + " = " + row.value, 4000);
    const std::string padding(setting.size() < width ? width - setting.size() : 0, ' ');
    const std::string origin = "  # " + printable(row.origin, 4000);
    write_out(setting + padding + (colours ? "\033[90m" + origin + "\033[0m" : origin) + "\n");
  }
}

}  // namespace

const Command& config_command() {
  static const Command command{
      .name = "config",
      .examples = "{config} show\n{config} show --json | jq -r '.\"network.host_port\".origin'",
      .details = "Precedence: flags, then RIVERBOX_<SECTION>_<KEY>, then the file, then defaults. The file is the first of --config,\n"
                 "$RIVERBOX_CONFIG, $HAKURIVER_CONFIG, ~/.riverbox/config.toml, ~/.hakuriver/config.toml, /etc/riverbox/config.toml.",
      .options = {config_option(), {.names = "--json", .help = "print JSON"}},
      .subcommands = {{.name = "show", .summary = "Print every value with its origin", .examples = "{config} show"}},
  };
  return command;
}

int run_config(const Invocation& invocation) {
  const Arguments arguments = parse(config_command(), invocation);
  std::optional<std::filesystem::path> file;
  if (const auto path = arguments.find("--config")) file = *path;
  const Config config = Config::load(file);
  for (const std::string& warning : config.warnings) write_err(arguments.full_name + ": warning: " + printable(warning, 4000) + "\n");
  if (!arguments.has("--json")) {
    print_table(config);
    return 0;
  }
  Json values = Json::object();
  for (const Config::Shown& row : config.show()) values[row.key] = {{"value", row.value}, {"origin", row.origin}, {"reload", row.live ? "live" : "restart"}};
  write_out(json_text(values));
  return 0;
}

}  // namespace riverbox::applets
