// What tasks may mount: "PATH" is that folder and all below it, "PATH:ro" the same to be read only. Text alone: no file is looked at.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace riverbox {

// "/a//b/./c/../d/" -> "/a/b/d"; ".." of the root is the root. `path` is absolute.
std::string normal_path(std::string_view path);

struct MountRule {
  std::string path;  // normal
  bool read_only = false;
  static MountRule parse(std::string_view text);  // throws InvalidInput
  std::string str() const;
  bool covers(std::string_view normal_path) const;
};

// Whether one of the rules lets a mount of this source be.
bool is_allowed(const std::vector<MountRule>& rules, std::string_view normal_path, bool read_only);

}  // namespace riverbox
