#include "applets/cli.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "applets/applet.hpp"
#include "applets/exit_codes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

bool looks_like_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

// The option of the commands in `path` that `word` ("--host", "--host=x", "-f") names; null if none does.
const Option* option_named(const std::vector<const Command*>& path, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (const Command* command : path)
    for (const Option& option : command->options)
      for (const std::string& spelling : split(option.names, ','))
        if (spelling == name) return &option;
  return nullptr;
}

const Command* subcommand_named(const Command& command, const std::string& name) {
  for (const Command& sub : command.subcommands)
    if (sub.name == name) return &sub;
  return nullptr;
}

std::vector<std::string> subcommand_names(const Command& command) {
  std::vector<std::string> names;
  for (const Command& sub : command.subcommands) names.push_back(sub.name);
  return names;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const auto right = nearest(word, candidates);
  return right ? " Did you mean '" + *right + "'?" : "";
}

std::string see_help(const std::string& full_name) { return "See '" + full_name + " --help'."; }

std::string full_name_of(const std::vector<const Command*>& path, const Invocation& invocation) {
  std::string name = invocation.program();
  for (size_t i = 1; i < path.size(); ++i) name += " " + path[i]->name;
  return name;
}

std::string value_missing(const Option& option) {
  return "option " + option.long_name() + " needs a value: " + option.long_name() + " " + option.value;
}

UsageError unknown_option(const std::string& word, const Resolution& meant, const std::string& full_name) {
  std::vector<std::string> known{"--help"};
  for (const Command* command : meant.path)
    for (const Option& option : command->options)
      if (!option.hidden) known.push_back(option.long_name());
  const std::string name = word.substr(0, word.find('='));
  std::string message = "unknown option '" + name + "'." + did_you_mean(name, known);
  std::string next = see_help(full_name);
  if (!meant.path.back()->arguments.empty() && word.rfind("--", 0) != 0)
    next = "To pass a word that begins with '-' as " + meant.path.back()->arguments.back().name + ", write '--' before it.\n" + next;
  return UsageError(message, next);
}

// CLI11 is given one flat command: the options of the whole path and the arguments of the last one. So options of a group
// stand before or after the subcommand as people like.
struct Parser {
  CLI::App app;
  std::vector<std::pair<std::string, CLI::Option*>> bound;

  explicit Parser(const std::vector<const Command*>& path) {
    app.set_help_flag();
    app.allow_extras();
    for (const Command* command : path)
      for (const Option& option : command->options) bind(option);
    for (const Argument& argument : path.back()->arguments) {
      CLI::Option* positional = app.add_option(argument.name);
      positional->expected(argument.repeated ? -1 : 1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      bound.emplace_back(argument.name, positional);
    }
  }

  void bind(const Option& option) {
    CLI::Option* added = option.value.empty() ? app.add_flag(option.names) : app.add_option(option.names);
    added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    if (!option.value.empty()) added->expected(1)->allow_extra_args(false);
    bound.emplace_back(option.long_name(), added);
  }
};

void require_arguments(const Resolution& meant, const Arguments& arguments, const Invocation& invocation) {
  const std::string next = usage_line(meant.path, invocation) + "\n" + see_help(arguments.full_name);
  for (const Argument& argument : meant.path.back()->arguments) {
    if (argument.required && !arguments.has(argument.name)) throw UsageError(argument.name + " is missing.", next);
    if (arguments.find(argument.name) == "") throw UsageError(argument.name + " is empty.", next);
  }
}

}  // namespace

bool Resolution::has_option(std::string_view long_name) const {
  for (const std::string& word : words) {
    if (word == "--") return false;
    const Option* option = looks_like_option(word) ? option_named(path, word) : nullptr;
    if (option && option->long_name() == long_name) return true;
  }
  return false;
}

Resolution resolve(const Command& root, const std::vector<std::string>& words) {
  Resolution meant;
  meant.path = {&root};
  bool only_positionals = false;
  size_t given = 0;  // arguments, before a tail
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const Command& current = *meant.path.back();
    if (!current.tail.empty() && given > 0 && given == current.arguments.size()) {
      meant.tail_marked = word == "--";
      meant.tail.emplace(words.begin() + static_cast<long>(i) + (meant.tail_marked ? 1 : 0), words.end());
      return meant;
    }
    if (!only_positionals && word == "--") {
      only_positionals = true;
      if (!current.tail.empty()) {
        meant.tail.emplace(words.begin() + static_cast<long>(i) + 1, words.end());
        meant.tail_marked = true;
        return meant;
      }
      if (current.subcommands.empty()) meant.words.push_back(word);
    } else if (!only_positionals && looks_like_option(word)) {
      if (word == "-h" || word == "--help") {
        meant.help = true;
        continue;
      }
      const Option* option = option_named(meant.path, word);
      if (option && !option->value.empty() && word.back() == '=') {  // CLI11 would take the next word as the value
        meant.words.push_back(word.substr(0, word.size() - 1));
        meant.words.emplace_back();
        continue;
      }
      meant.words.push_back(word);
      const bool value_follows = option && !option->value.empty() && word.find('=') == std::string::npos;
      if (value_follows && i + 1 < words.size()) meant.words.push_back(words[++i]);
    } else if (const Command* sub = subcommand_named(current, word)) {
      meant.path.push_back(sub);
    } else if (word == "help" && !current.subcommands.empty() && !only_positionals) {
      meant.help = true;
    } else if (!current.tail.empty() && given < current.arguments.size()) {
      meant.words.push_back(word);
      ++given;
    } else if (!current.tail.empty()) {
      meant.tail.emplace(words.begin() + static_cast<long>(i), words.end());
      return meant;
    } else if (!current.subcommands.empty()) {
      if (!meant.unknown) meant.unknown = word;
    } else {
      meant.words.push_back(word);
    }
  }
  return meant;
}

std::optional<std::string> Arguments::find(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

Arguments parse(const Command& root, const Invocation& invocation) { return parse(root, invocation, invocation.args); }

Arguments parse(const Command& root, const Invocation& invocation, const std::vector<std::string>& words) {
  const Resolution meant = resolve(root, words);
  const Command& command = *meant.path.back();
  Arguments arguments;
  arguments.command = &command;
  arguments.full_name = full_name_of(meant.path, invocation);
  if (meant.unknown)
    throw UsageError("unknown command '" + *meant.unknown + "'." + did_you_mean(*meant.unknown, subcommand_names(command)),
                     see_help(arguments.full_name));
  const bool nothing_to_do = !command.subcommands.empty() && !command.alone && !meant.tail && meant.words.empty();
  if (meant.help || nothing_to_do) throw HelpRequest{help_text(meant.path, invocation)};

  Parser parser(meant.path);
  try {
    parser.app.parse(std::vector<std::string>(meant.words.rbegin(), meant.words.rend()));
  } catch (const CLI::ParseError& error) {
    const Option* last = meant.words.empty() ? nullptr : option_named(meant.path, meant.words.back());
    throw UsageError(last ? value_missing(*last) : std::string(error.what()), see_help(arguments.full_name));
  }
  for (const std::string& extra : parser.app.remaining()) {
    if (extra == "--") continue;
    if (looks_like_option(extra)) throw unknown_option(extra, meant, arguments.full_name);
    throw UsageError("unexpected argument '" + extra + "'.",
                     usage_line(meant.path, invocation) + "\n" + see_help(arguments.full_name));
  }
  for (const auto& [key, option] : parser.bound)
    for (const std::string& value : option->results()) arguments.add(key, value);
  if (!command.subcommands.empty() && command.tail.empty() && !command.alone)
    throw UsageError("which command? One of: " + join(subcommand_names(command), ", ") + ".", see_help(arguments.full_name));
  require_arguments(meant, arguments, invocation);
  if (meant.tail) arguments.tail = *meant.tail;
  arguments.tail_marked = meant.tail_marked;
  return arguments;
}

Option config_option() {
  return {.names = "--config", .value = "PATH", .help = "use this configuration file (TOML)", .complete = "files"};
}

std::vector<Option> client_options() {
  return {
      config_option(),
      {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
      {.names = "--json", .help = "print JSON, as is done anyway when the output is piped"},
  };
}

}  // namespace riverbox::applets
