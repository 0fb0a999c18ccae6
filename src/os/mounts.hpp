// What is mounted where, by the kernel's word (/proc/self/mountinfo). Nothing here touches what is mounted, so a share that hangs holds up nobody.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::os {

struct Mount {
  std::string point, type, source;   // "/mnt/share", "nfs4", "server:/export"
  std::vector<std::string> options;  // of the mount and of the file system: "rw", "hard", "acdirmax=60", ...

  bool has(std::string_view option) const;
  // Of "key=value"; nullopt: it is not said.
  std::optional<std::string> value(std::string_view key) const;
  // Other machines see it, too, as far as its type tells.
  bool is_network() const;
};

// proc_pid_mountinfo(5); lines that are none are left out.
std::vector<Mount> parse_mountinfo(std::string_view text);
// The one that this absolute path lies in, by its text: links are not followed. Null: there is none.
const Mount* mount_of(const std::vector<Mount>& mounts, const std::filesystem::path& path);
// Of this process. Throws IoError.
std::vector<Mount> mounts();

}  // namespace riverbox::os
