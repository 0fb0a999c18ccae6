// Help texts from the command descriptions. Examples come first: they answer most questions (clig.dev).
#include "applets/applet.hpp"
#include "applets/cli.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {

// As in a usage line.
std::string shown_name(const Argument& argument) {
  const std::string name = argument.name + (argument.repeated ? "..." : "");
  return argument.required ? name : "[" + name + "]";
}


// "{docker} list-tars" -> "hakuriver.docker list-tars", as this user types it.
std::string with_commands(const std::string& text, const Invocation& invocation) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t open = text.find('{', at);
    const size_t close = open == std::string::npos ? open : text.find('}', open);
    if (close == std::string::npos) break;
    out += text.substr(at, open - at) + invocation.command(text.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  return out + text.substr(at);
}

std::string indented(const std::string& text) {
  std::string out;
  for (const std::string& line : split(text, '\n')) out += line.empty() ? "\n" : "  " + line + "\n";
  return out;
}

std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  std::string out;
  for (const auto& [left, right] : rows) out += "  " + left + std::string(width - left.size() + 3, ' ') + right + "\n";
  return out;
}

std::string option_label(const Option& option) {
  const bool has_short = option.names.rfind("--", 0) != 0;
  std::string label = (has_short ? "" : "    ") + join(split(option.names, ','), ", ");
  if (!option.value.empty()) label += " " + option.value;
  return label;
}

}  // namespace

std::string usage_line(const std::vector<const Command*>& path, const Invocation& invocation) {
  const Command& command = *path.back();
  std::string line = "Usage: " + invocation.program();
  for (size_t i = 1; i < path.size(); ++i) line += " " + path[i]->name;
  line += " [OPTIONS]";
  for (const Argument& argument : command.arguments)
    line += " " + shown_name(argument);
  if (!command.tail.empty()) line += " [--] " + command.tail;
  if (!command.subcommands.empty() && command.tail.empty()) line += command.alone ? " [COMMAND]" : " COMMAND [ARGS...]";
  return line;
}

std::string help_text(const std::vector<const Command*>& path, const Invocation& invocation) {
  const Command& command = *path.back();
  std::string text;
  if (!command.examples.empty()) text += "Examples:\n" + indented(with_commands(command.examples, invocation)) + "\n";
  text += usage_line(path, invocation) + "\n";
  if (!command.tail.empty() && !command.subcommands.empty())
    text += "       " + invocation.program() + " SUBCOMMAND [ARGS...]\n";
  const std::string& about = command.details.empty() ? command.summary + "." : command.details;
  text += "\n" + with_commands(about, invocation) + "\n";

  std::vector<std::pair<std::string, std::string>> rows;
  for (const Argument& argument : command.arguments) rows.emplace_back(argument.name, argument.help);
  if (!rows.empty()) text += "\nArguments:\n" + two_columns(rows);

  rows.clear();
  for (auto owner = path.rbegin(); owner != path.rend(); ++owner) {
    // The options of the flat form mean nothing to its subcommands.
    if (owner != path.rbegin() && !(*owner)->tail.empty()) {
      for (const Option& option : (*owner)->options)
        if (option.names == "--config" || option.names == "--host" || option.names == "--json") rows.emplace_back(option_label(option), option.help);
      continue;
    }
    for (const Option& option : (*owner)->options)
      if (!option.hidden) rows.emplace_back(option_label(option), option.help);
  }
  rows.emplace_back("-h, --help", "this text");
  text += "\nOptions:\n" + two_columns(rows);

  if (!command.subcommands.empty()) {
    rows.clear();
    for (const Command& sub : command.subcommands) {
      std::string left = sub.name;
      for (const Argument& argument : sub.arguments) left += " " + shown_name(argument);
      rows.emplace_back(left, sub.summary);
    }
    text += (command.tail.empty() ? "\nCommands:\n" : "\nSubcommands:\n") + two_columns(rows);
    text += "\nMore about one of them: " + invocation.program() + " " + command.subcommands.front().name + " --help\n";
  }
  return text;
}

}  // namespace riverbox::applets
