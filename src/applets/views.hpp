// Answers of the host as people read them.
#pragma once
#include <string>
#include <string_view>

#include "applets/cli.hpp"
#include "applets/output.hpp"
#include "base/json.hpp"

namespace riverbox::applets {

// Asked for, or stdout is no terminal.
bool wants_json(const Arguments& arguments);
int print(const Json& value);
// The message of an answer, or all of it as JSON.
int print_message(const Arguments& arguments, const Json& answer);
Colour colour_of_state(const std::string& status);
// "python train.py": what the task runs, as one would type it.
std::string command_line_of(const Json& task);
// "2026-03-01 12:00:00"
std::string short_time(const Json& task, std::string_view key);
Table table_of_tasks(const Json& tasks);
// "node          node1"
void print_field(std::string_view name, const std::string& value);

}  // namespace riverbox::applets
