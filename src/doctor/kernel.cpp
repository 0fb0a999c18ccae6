// What the kernel has to have for Docker and for us, and what of it this machine limits.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "doctor/checks.hpp"
#include "os/fd.hpp"

namespace riverbox::doctor {
namespace {

constexpr unsigned long long kNamespaces = 256;  // of each kind: one a container
constexpr rlim_t kOpenFiles = 8192;              // 4096 connections, and what they lead to

std::string text_of_file(const std::string& file) {
  try {
    return std::string(trim(os::read_file(file)));
  } catch (const Error&) {
    return "";
  }
}

void namespaces(Findings& out) {
  for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "uts"}) {
    const auto most = parse_u64(text_of_file(fmt::format("/proc/sys/user/max_{}_namespaces", kind)));
    if (!most || *most >= kNamespaces) continue;
    const auto say = *most == 0 ? problem : warning;
    add(out, say(fmt::format("user.max_{}_namespaces is {}: so many containers can there be", kind, *most), as_root(fmt::format("sysctl -w user.max_{}_namespaces=15000", kind))));
  }
}

// Limits of tasks are those of Docker, and where it is version 2 also ours, for tasks without a container.
void control_groups(Findings& out) {
  const std::string controllers = " " + text_of_file("/sys/fs/cgroup/cgroup.controllers") + " ";
  if (controllers == "  ") {
    if (::access("/sys/fs/cgroup/memory", F_OK) == 0) return;  // version 1 does it, too
    return add(out, problem("there are no control groups: no task can be limited", as_root("mount -t cgroup2 cgroup2 /sys/fs/cgroup")));
  }
  for (const char* wanted : {"cpu", "cpuset", "memory", "pids"})
    if (controllers.find(fmt::format(" {} ", wanted)) == std::string::npos)
      add(out, warning(fmt::format("control groups have no controller {}: tasks are not limited in it", wanted),
                       fmt::format("add cgroup_enable={} to GRUB_CMDLINE_LINUX in /etc/default/grub, then {} and start the machine again", wanted, as_root("update-grub"))));
}

}  // namespace

Findings look_at_kernel(const Situation&) {
  Findings out;
  if (text_of_file("/proc/filesystems").find("overlay") == std::string::npos)
    out = warning("the file system overlay is not there: Docker copies whole layers", as_root("modprobe overlay"));
  control_groups(out);
  namespaces(out);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < kOpenFiles)
    add(out, warning(fmt::format("a process may open only {} files: many connections at once are refused", files.rlim_max), "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the unit"));
  if (!out.empty()) return out;
  utsname machine{};
  ::uname(&machine);
  const bool second = ::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  return ok(fmt::format("Linux {}: overlay, control groups version {}, namespaces, open files", machine.release, second ? 2 : 1));
}

}  // namespace riverbox::doctor
