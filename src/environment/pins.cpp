#include "environment/pins.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/time.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr int kPinFormat = 1;
constexpr const char* kPinAdvice = "Check the share and its permissions.";

}  // namespace

std::filesystem::path Pins::path_of(const std::string& tarball) const { return share_.index_path(tarball).replace_extension(".pin"); }

bool Pins::is_pinned(const Version& version) const {
  const std::filesystem::path path = path_of(version.tarball);
  struct stat st {};
  if (lstat(path.c_str(), &st) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw IoError(fmt::format("look for the pin '{}'", path.string()), errno, kPinAdvice);
}

bool Pins::pin(const Version& version) const {
  if (is_pinned(version)) return false;
  const std::filesystem::path path = path_of(version.tarball), folder = path.parent_path();
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) throw IoError(fmt::format("create the folder '{}'", folder.string()), errno, kPinAdvice);
  nlohmann::ordered_json json;
  json["format"] = kPinFormat;
  json["tarball"] = version.tarball;
  json["pinned"] = to_rfc3339(wall_now());
  os::write_atomically(path, json.dump(1) + "\n");
  return true;
}

bool Pins::unpin(const Version& version) const {
  const std::filesystem::path path = path_of(version.tarball);
  if (unlink(path.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw IoError(fmt::format("remove the pin '{}'", path.string()), errno, kPinAdvice);
  }
  os::fsync_dir(path.parent_path());
  return true;
}

}  // namespace riverbox::environment
