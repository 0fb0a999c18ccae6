// Multicall: which applet a name means, and what the program says about itself.
#include <array>

#include "applets/applet.hpp"
#include "applets/exit_codes.hpp"
#include "applets/output.hpp"
#include "base/strings.hpp"
#include "config.h"

namespace riverbox::applets {

namespace {

// The applets that are installed as hakuriver.<name> links; the others are only called through riverbox.
constexpr std::array<std::string_view, 8> kLinked{"client", "docker", "docker-shell", "host", "runner", "ssh", "task", "vps"};

// The name under which the executable is mounted into containers, for one applet alone.
constexpr std::string_view kTunnelClient = "tunnel-client";

bool has_link(std::string_view name) { return std::find(kLinked.begin(), kLinked.end(), name) != kLinked.end(); }

const Applet* applet_named(std::span<const Applet> table, std::string_view name) {
  for (const Applet& applet : table)
    if (applet.name == name) return &applet;
  return nullptr;
}

std::vector<std::string> visible_names(std::span<const Applet> table) {
  std::vector<std::string> names;
  for (const Applet& applet : table)
    if (!applet.summary.empty()) names.emplace_back(applet.name);
  return names;
}

// "hakuriver.docker" -> "hakuriver." and "docker"; the family is empty for any other name.
std::pair<std::string, std::string> split_link_name(const std::string& base_name) {
  for (const std::string_view family : {"hakuriver.", "kohakuriver."})
    if (base_name.rfind(family, 0) == 0) return {std::string(family), base_name.substr(family.size())};
  return {"", base_name};
}

}  // namespace

std::string Invocation::command(std::string_view other) const {
  const bool by_link = family != "riverbox " && has_link(other);
  return (by_link ? family : "riverbox ") + std::string(other);
}

std::string Invocation::typed(std::string_view other) const {
  const bool by_link = family != "riverbox ";
  // A link's folder need not hold riverbox itself.
  const bool same_folder = !by_link || has_link(other);
  return same_folder && !folder.empty() ? shell_quoted(folder + std::string(by_link ? family : "riverbox")) +
                                              (by_link ? "" : " ") + std::string(other)
                                        : command(other);
}

Dispatch find_applet(std::span<const Applet> table, const std::vector<std::string>& argv) {
  Dispatch result;
  Invocation& invocation = result.invocation;
  invocation.table = table;
  const std::string path = argv.empty() ? "riverbox" : argv[0];
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos) invocation.folder = path.substr(0, slash + 1);
  const auto [family, name] = split_link_name(slash == std::string::npos ? path : path.substr(slash + 1));

  size_t first = 1;
  if (!family.empty() && (result.applet = applet_named(table, name))) {
    invocation.family = family;
  } else if (name == kTunnelClient && (result.applet = applet_named(table, name))) {
    invocation.family = "riverbox ";
  } else {
    invocation.family = "riverbox ";
    const std::string word = argv.size() > 1 ? argv[1] : "";
    first = 2;
    if (word.empty() || word == "-h" || word == "--help" || word == "help") {
      const bool about_one = word == "help" && argv.size() > 2;
      if (about_one && (result.applet = applet_named(table, argv[2]))) {
        invocation.applet = argv[2];
        invocation.args.assign(argv.begin() + 3, argv.end());
        invocation.args.push_back("--help");
      } else if (about_one) {
        result.unknown = argv[2];
      } else {
        result.overview = true;
      }
      return result;
    }
    result.version = word == "--version" || word == "-V";
    result.applet = applet_named(table, word);
    if (!result.applet && !result.version) result.unknown = word;
  }
  if (argv.size() > first) invocation.args.assign(argv.begin() + static_cast<long>(first), argv.end());
  if (result.applet) {
    invocation.applet = result.applet->name;
    result.version = invocation.args.size() == 1 && invocation.args[0] == "--version";
  }
  return result;
}

std::string unknown_command(std::span<const Applet> table, const std::string& word) {
  const std::string shown = printable(word, 60);
  if (word.rfind('-', 0) == 0) return "riverbox: unknown option '" + shown + "'.\nSee 'riverbox --help'.\n";
  std::string text = "riverbox: '" + shown + "' is not a riverbox command.";
  if (const auto right = nearest(word, visible_names(table))) return text + " Did you mean '" + *right + "'?\n";
  for (const Applet& applet : table) {
    if (!applet.describe || applet.summary.empty()) continue;
    for (const Command& sub : applet.describe().subcommands)
      if (sub.name == word) return text + " Did you mean '" + std::string(applet.name) + " " + sub.name + "'?\n";
  }
  return text + "\nSee 'riverbox --help'.\n";
}

std::string overview(std::span<const Applet> table) {
  std::string text =
      "Examples:\n"
      "  # try it: host and runner in one process on this machine\n"
      "  riverbox up\n"
      "  # make an environment from an image, change it, package it for every node\n"
      "  riverbox docker create-container python:3.11-slim my-env\n"
      "  riverbox docker-shell my-env\n"
      "  riverbox docker create-tar my-env\n"
      "  # run a task in it\n"
      "  riverbox client --container my-env --wait -- python -c 'print(6 * 7)'\n"
      "\n"
      "Usage: riverbox COMMAND [OPTIONS] [ARGS...]\n"
      "\n"
      "Docker environments for a handful of machines and a shared folder.\n"
      "\n"
      "Commands:\n";
  size_t width = 0;
  for (const Applet& applet : table)
    if (!applet.summary.empty()) width = std::max(width, applet.name.size());
  for (const Applet& applet : table)
    if (!applet.summary.empty())
      text += "  " + std::string(applet.name) + std::string(width - applet.name.size() + 3, ' ') + std::string(applet.summary) + "\n";
  text +=
      "\n"
      "Options:\n"
      "  -h, --help   this text\n"
      "  --version    the version\n"
      "\n"
      "More about one command: riverbox docker --help\n"
      "The links hakuriver.docker, hakuriver.client, ... are the same commands.\n";
  return text;
}

std::string version_line() { return std::string("riverbox ") + RIVERBOX_VERSION + "\n"; }

int dispatch(std::span<const Applet> table, int argc, char** argv) {
  const Dispatch meant = find_applet(table, std::vector<std::string>(argv, argv + argc));
  const std::string program = meant.applet ? meant.invocation.program() : "riverbox";
  return safe_main(program, [&] {
    if (meant.version) throw HelpRequest{version_line()};
    if (meant.overview) throw HelpRequest{overview(table)};
    if (!meant.applet) {
      write_err(unknown_command(table, meant.unknown));
      return kExitUsage;
    }
    return meant.applet->run(meant.invocation);
  });
}

}  // namespace riverbox::applets
