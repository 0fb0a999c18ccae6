#include "environment/packages.hpp"

#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

constexpr std::string_view kMetadata = ".dist-info/METADATA";
constexpr size_t kMaxWord = 300;  // of a name or a version

// Calls `line(text)` for every line, `paragraph_end()` for every empty one and at the end.
template <class Line, class End>
void for_each_line(std::string_view text, const Line& line, const End& paragraph_end) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trim(one).empty()) paragraph_end();
    else line(one);
  }
  paragraph_end();
}

std::string word(std::string_view text) { return std::string(trim(text).substr(0, kMaxWord)); }

bool take(std::string_view line, std::string_view key, std::string& into) {
  if (!line.starts_with(key)) return false;
  into = word(line.substr(key.size()));
  return true;
}

}  // namespace

std::string_view to_string(PackageManager manager) {
  switch (manager) {
    case PackageManager::dpkg: return "dpkg";
    case PackageManager::apk: return "apk";
    case PackageManager::pip: return "pip";
  }
  return "";
}

std::optional<PackageFile> package_file(std::string_view path) {
  constexpr std::uint64_t kDatabase = 16u << 20, kMetadataHead = 4u << 10;
  if (path == "var/lib/dpkg/status") return PackageFile{PackageManager::dpkg, kDatabase};
  if (path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed") return PackageFile{PackageManager::apk, kDatabase};
  if (path.ends_with(kMetadata)) return PackageFile{PackageManager::pip, kMetadataHead};
  return std::nullopt;
}

Packages parse_dpkg_status(std::string_view text) {
  Packages packages;
  std::string name, version, status, architecture;
  const auto line = [&](std::string_view one) {
    take(one, "Package:", name) || take(one, "Version:", version) || take(one, "Status:", status) || take(one, "Architecture:", architecture);
  };
  const auto end = [&] {
    if (!name.empty() && status.ends_with(" installed") && packages.size() < kMaxPackages)
      if (!packages.emplace(name, version).second) packages.emplace(name + ":" + architecture, version);  // multi-arch
    name.clear(), version.clear(), status.clear(), architecture.clear();
  };
  for_each_line(text, line, end);
  return packages;
}

Packages parse_apk_installed(std::string_view text) {
  Packages packages;
  std::string name, version;
  const auto line = [&](std::string_view one) { take(one, "P:", name) || take(one, "V:", version); };
  const auto end = [&] {
    if (!name.empty() && packages.size() < kMaxPackages) packages.emplace(name, version);
    name.clear(), version.clear();
  };
  for_each_line(text, line, end);
  return packages;
}

std::optional<std::pair<std::string, std::string>> parse_pip_metadata(std::string_view path, std::string_view text) {
  std::string name, version;
  bool head = true;  // the description after the first empty line may say anything
  const auto line = [&](std::string_view one) {
    if (head && name.empty() && take(one, "Name:", name)) return;
    if (head && version.empty()) take(one, "Version:", version);
  };
  for_each_line(text, line, [&] { head = false; });
  if (!name.empty() && !version.empty()) return std::pair{name, version};
  if (!path.ends_with(kMetadata)) return std::nullopt;
  path.remove_suffix(kMetadata.size());
  path = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  const size_t dash = path.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == path.size()) return std::nullopt;
  return std::pair{word(path.substr(0, dash)), word(path.substr(dash + 1))};
}

}  // namespace riverbox::environment
