// Sockets in the file system. Paths may be longer than sockaddr_un takes.
#pragma once
#include <sys/types.h>

#include <filesystem>

#include "os/fd.hpp"

namespace riverbox::os {

// Whether a process accepts connections there now. Does not wait.
bool listens(const std::filesystem::path& path);
// A connected stream socket that does not block. Does not wait either: throws IoError when nobody listens, or when too many wait there already.
UniqueFd connect_unix(const std::filesystem::path& path);
// A socket that listens and does not block, with this mode; a socket that lies there is replaced, whoever listens on it. Throws IoError.
UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode);

}  // namespace riverbox::os
