// What a command line may look like, as data: one description serves the parser, the help text and the completion.
// CLI11 does the parsing, in cli.cpp only, because its headers take seconds to compile.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace riverbox::applets {

struct Invocation;

struct Option {
  std::string names;     // "--json" or "-f,--follow"; the long name is the key in Arguments
  std::string value;     // "PATH"; empty: a flag
  std::string help;
  std::string complete;  // what its values are: "files", "containers", "environments", "versions", "nodes", "tasks", "tokens", or a "a|b|c" list
  bool hidden = false;   // accepted for the sake of old scripts, not shown
  const std::string long_name() const { return names.substr(names.find("--")); }
};

struct Argument {
  std::string name;  // "NAME"; the key in Arguments
  std::string help;
  std::string complete;
  bool required = true;
  bool repeated = false;  // the last one may be: it takes all words that are left
};

struct Command {
  std::string name;
  std::string summary;   // one line, no full stop
  std::string examples;  // lines; {docker} and the like become that command as this user types it
  std::string details;   // a paragraph under the usage line; may be empty
  std::vector<Argument> arguments;
  std::vector<Option> options;  // of a group: accepted before and after the subcommand
  std::vector<Command> subcommands;
  bool alone = false;  // of one with subcommands: it does something without them, too
  std::string tail;  // "COMMAND [ARG...]": from the first word that is no option on (or after "--"), everything is kept verbatim; after arguments, if there are any, also options
};

// Which command is meant, before any option is interpreted.
struct Resolution {
  std::vector<const Command*> path;                // from the root to the one that is meant
  std::vector<std::string> words;                  // options and arguments without the names of the subcommands
  std::optional<std::vector<std::string>> tail;    // only for a command with `tail`
  bool tail_marked = false;                        // the tail came after "--"
  std::optional<std::string> unknown;              // a word where a subcommand was expected
  bool help = false;
  bool has_option(std::string_view long_name) const;
};
Resolution resolve(const Command& root, const std::vector<std::string>& words);

class Arguments {
public:
  const Command* command = nullptr;
  std::vector<std::string> tail;
  bool tail_marked = false;
  std::string full_name;  // "riverbox docker create-tar"

  bool has(std::string_view key) const { return values_.contains(key); }
  std::optional<std::string> find(std::string_view key) const;  // the last one given
  std::string value(std::string_view key, std::string fallback = {}) const { return find(key).value_or(std::move(fallback)); }
  std::vector<std::string> all(std::string_view key) const;
  void add(const std::string& key, std::string value) { values_[key].push_back(std::move(value)); }

private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// A value on the command line that cannot be parsed is a usage error.
template <class Parse>
auto option_value(const char* option, const Parse& parse) {
  try {
    return parse();
  } catch (const InvalidInput& error) {
    throw UsageError(std::string(option) + ": " + error.fact(), error.next());
  }
}

// Throws HelpRequest for --help, "help" and a group without subcommand; UsageError with the nearest right word.
Arguments parse(const Command& root, const Invocation& invocation);
Arguments parse(const Command& root, const Invocation& invocation, const std::vector<std::string>& words);

// Examples first, then usage, options, commands.
std::string help_text(const std::vector<const Command*>& path, const Invocation& invocation);
std::string usage_line(const std::vector<const Command*>& path, const Invocation& invocation);

// --config, --host and --json, which every client command has.
std::vector<Option> client_options();
Option config_option();

}  // namespace riverbox::applets
