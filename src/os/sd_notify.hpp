// systemd's notification protocol (sd_notify(3)) without libsystemd. Everything is a no-op without $NOTIFY_SOCKET.
#pragma once
#include <chrono>
#include <optional>
#include <string_view>

namespace riverbox::os {

void sd_notify(std::string_view state);                       // "READY=1", "STATUS=...", "WATCHDOG=1", "STOPPING=1"
void sd_notify_reloading();                                   // "READY=1" ends it
std::optional<std::chrono::microseconds> watchdog_interval();  // half of $WATCHDOG_USEC, if meant for this pid

}  // namespace riverbox::os
