// What a check has found: a fact in one line, and the command that mends it unless all is well.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::doctor {

enum class Level { ok, warning, problem };

struct Finding {
  Level level = Level::ok;
  std::string text;  // no full stop
  std::string mend;  // empty only when all is well
};
using Findings = std::vector<Finding>;

Findings ok(std::string text);
Findings warning(std::string text, std::string mend);
Findings problem(std::string text, std::string mend);
void add(Findings& to, Findings more);

std::string_view to_string(Level level);

// Lines that decode() reads. Whatever stands in the texts is made printable.
std::string encode(const Findings& findings);
Findings decode(std::string_view lines);

// How much is free where `path` lies: little is a warning, next to nothing a problem. Throws IoError.
Findings free_space(const std::string& what, const std::filesystem::path& path, const std::string& mend);

}  // namespace riverbox::doctor
