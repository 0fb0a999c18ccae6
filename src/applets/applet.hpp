// The multicall table's row, and what an applet is told about how it was called.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "applets/cli.hpp"

namespace riverbox::applets {

struct Invocation;

struct Applet {
  std::string_view name;
  int (*run)(const Invocation&);
  const Command& (*describe)();   // null: takes no part in help and completion
  std::string_view summary;       // shown in the overview; empty: hidden
};

struct Invocation {
  std::span<const Applet> table;
  std::string applet;             // "docker"
  std::string family;             // "hakuriver." or "kohakuriver." when called by such a link, else "riverbox "
  std::string folder;             // of argv[0] as typed, with the slash; "" when it was found in $PATH
  std::vector<std::string> args;  // after the applet's name

  // "riverbox docker" or "hakuriver.docker", as this user says it: for usage lines and the front of error messages.
  std::string program() const { return command(applet); }
  std::string command(std::string_view other) const;
  // The same with the folder that was typed, so that it can be pasted into the shell.
  std::string typed(std::string_view other) const;
};

// Which applet argv means. Never throws; an unknown word leaves `applet` null and stands in `unknown`.
struct Dispatch {
  const Applet* applet = nullptr;
  Invocation invocation;
  std::string unknown;            // the word that names no applet
  bool overview = false, version = false;
};
Dispatch find_applet(std::span<const Applet> table, const std::vector<std::string>& argv);

// The line for an unknown command word, with the nearest right one.
std::string unknown_command(std::span<const Applet> table, const std::string& word);
std::string overview(std::span<const Applet> table);
std::string version_line();

// main() after the runtime is set up.
int dispatch(std::span<const Applet> table, int argc, char** argv);

constexpr bool sorted_by_name(std::span<const Applet> table) {
  for (size_t i = 1; i < table.size(); ++i)
    if (!(table[i - 1].name < table[i].name)) return false;
  return true;
}

}  // namespace riverbox::applets
