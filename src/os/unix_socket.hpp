// Sockets in the file system.
#pragma once
#include <filesystem>

namespace riverbox::os {

// Whether a process accepts connections there now. Does not wait.
bool listens(const std::filesystem::path& path);

}  // namespace riverbox::os
