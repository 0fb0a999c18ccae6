#include "base/mount_rule.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {

std::string normal_path(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") parts.push_back(std::move(part));
    else if (!parts.empty()) parts.pop_back();
  }
  std::string normal;
  for (const std::string& part : parts) normal.append("/").append(part);
  return normal.empty() ? "/" : normal;
}

MountRule MountRule::parse(std::string_view text) {
  MountRule rule;
  std::string_view path = text;
  if (const size_t colon = path.rfind(':'); colon != std::string_view::npos) {
    const std::string_view option = path.substr(colon + 1);
    rule.read_only = option == "ro";
    if (!rule.read_only && option != "rw") path = {};  // a second path is none of a rule's business
    else path = path.substr(0, colon);
  }
  // No mount has a path with a colon in it: "/data:rw:ro" is a slip.
  if (!path.starts_with('/') || path.find_first_of(std::string_view("\0:", 2)) != std::string_view::npos)
    throw InvalidInput(fmt::format("\"{}\" is not a folder that may be mounted", printable(text, 200)), "Write an absolute path, or PATH:ro.");
  rule.path = normal_path(path);
  return rule;
}

std::string MountRule::str() const { return path + (read_only ? ":ro" : ""); }

bool MountRule::covers(std::string_view other) const {
  if (path == "/") return true;
  return other.starts_with(path) && (other.size() == path.size() || other[path.size()] == '/');
}

bool is_allowed(const std::vector<MountRule>& rules, std::string_view path, bool read_only) {
  return std::any_of(rules.begin(), rules.end(), [&](const MountRule& rule) { return rule.covers(path) && (read_only || !rule.read_only); });
}

}  // namespace riverbox
