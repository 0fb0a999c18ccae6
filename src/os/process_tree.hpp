// Who descends from this process. From /proc; blocking for microseconds a process.
#pragma once
#include <sys/types.h>

#include <vector>

namespace riverbox::os {

// Children, their children and so on; zombies are left out. Complete for what a subreaper (prctl(2)) has below it, but for what is forked meanwhile: call it again.
std::vector<pid_t> descendants();

}  // namespace riverbox::os
