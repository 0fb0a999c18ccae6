// Folders that are ours alone.
#pragma once
#include <filesystem>
#include <system_error>

namespace riverbox::os {

// Makes those that are missing, readable by their owner only; those that exist stay as they are. Blocking. The error of the first that could not be made.
std::error_code make_private_folders(const std::filesystem::path& folder);

}  // namespace riverbox::os
