// What package managers say is installed, read from the files that they keep: dpkg, apk, pip. Tolerant: lines that mean nothing are
// passed over, and what is too much is cut off, because nothing but a list for people depends on it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace riverbox::environment {

inline constexpr size_t kMaxPackages = 50'000;

using Packages = std::map<std::string, std::string>;  // name -> version

enum class PackageManager { dpkg, apk, pip };
std::string_view to_string(PackageManager manager);

// A file that tells of packages: whose it is, and how much of its beginning is needed. nullopt: any other file.
struct PackageFile {
  PackageManager manager;
  std::uint64_t wanted_bytes;
};
std::optional<PackageFile> package_file(std::string_view path);

Packages parse_dpkg_status(std::string_view text);    // only what is installed
Packages parse_apk_installed(std::string_view text);
// Name and version from METADATA, or from the name of its folder where that says nothing. nullopt: neither does.
std::optional<std::pair<std::string, std::string>> parse_pip_metadata(std::string_view path, std::string_view text);

}  // namespace riverbox::environment
