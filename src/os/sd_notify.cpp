#include "os/sd_notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::os {

void sd_notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = path ? std::strlen(path) : 0;
  // "@name" is a socket in the abstract namespace: its first byte is NUL.
  if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // systemd's socket never stays full for long; a lost message must not stop the service.
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&address), size);
}

// The time tells an answer to this SIGHUP from one to an earlier one (systemd 253, Type=notify-reload).
void sd_notify_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  sd_notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000LL + now.tv_nsec / 1000));
}

std::optional<std::chrono::microseconds> watchdog_interval() {
  const char* pid = std::getenv("WATCHDOG_PID");
  if (pid && parse_i64(pid) != static_cast<long long>(::getpid())) return std::nullopt;
  const char* text = std::getenv("WATCHDOG_USEC");
  const auto period = parse_i64(text ? text : "");
  if (!period || *period <= 0) return std::nullopt;
  return std::chrono::microseconds(*period / 2);
}

}  // namespace riverbox::os
