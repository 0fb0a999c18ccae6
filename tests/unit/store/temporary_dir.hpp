// A folder that goes with its object.
#pragma once
#include <filesystem>

#include "base/strings.hpp"

struct TemporaryDir {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("riverbox-store-" + riverbox::random_hex(6));
  TemporaryDir() { std::filesystem::create_directories(path); }
  ~TemporaryDir() { std::filesystem::remove_all(path); }
  TemporaryDir(TemporaryDir&&) = delete;
};
