#include "os/folders.hpp"

#include <sys/stat.h>

#include <cerrno>

namespace riverbox::os {

std::error_code make_private_folders(const std::filesystem::path& folder) {
  std::error_code error;
  if (folder.empty() || std::filesystem::exists(folder, error)) return {};
  if (const auto above = make_private_folders(folder.parent_path())) return above;
  const bool is_there = ::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST;
  return is_there ? std::error_code() : std::error_code(errno, std::generic_category());
}

}  // namespace riverbox::os
