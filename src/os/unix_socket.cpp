#include "os/unix_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/error.hpp"

namespace riverbox::os {

namespace {

// The address of a path. One that is too long is named by way of its open folder.
class Address {
public:
  explicit Address(const std::filesystem::path& path) {
    address_.sun_family = AF_UNIX;
    std::string name = path.native();
    if (name.size() >= sizeof address_.sun_path) {
      folder_.reset(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      name = "/proc/self/fd/" + std::to_string(folder_.get()) + "/" + path.filename().native();
    }
    fits_ = name.size() < sizeof address_.sun_path;
    if (fits_) name.copy(address_.sun_path, name.size());
  }
  template <class Call>
  bool given_to(const Call& call, int socket) const {
    if (!fits_) errno = ENAMETOOLONG;
    return fits_ && call(socket, reinterpret_cast<const sockaddr*>(&address_), static_cast<socklen_t>(sizeof address_)) == 0;
  }

private:
  sockaddr_un address_{};
  UniqueFd folder_;
  bool fits_ = false;
};

UniqueFd unix_socket() { return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

}  // namespace

bool listens(const std::filesystem::path& path) {
  const UniqueFd socket = unix_socket();
  return socket && Address(path).given_to(::connect, socket.get());
}

UniqueFd connect_unix(const std::filesystem::path& path) {
  UniqueFd socket = unix_socket();
  if (!socket || !Address(path).given_to(::connect, socket.get())) throw IoError("connect to " + path.string(), errno);
  return socket;
}

UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode) {
  constexpr int kBacklog = 16;
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) ::unlink(path.c_str());
  UniqueFd socket = unix_socket();
  if (!socket || !Address(path).given_to(::bind, socket.get()) || ::fchmodat(AT_FDCWD, path.c_str(), mode, 0) != 0 || ::listen(socket.get(), kBacklog) != 0)
    throw IoError("listen on " + path.string(), errno);
  return socket;
}

}  // namespace riverbox::os
