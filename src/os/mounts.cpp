#include "os/mounts.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::os {
namespace {

// "\040" is a blank: the kernel writes blanks, tabs, newlines and backslashes as three octal digits.
std::string without_octal(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) && is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

bool Mount::has(std::string_view option) const { return std::find(options.begin(), options.end(), option) != options.end(); }

std::optional<std::string> Mount::value(std::string_view key) const {
  for (const std::string& option : options)
    if (option.size() > key.size() && option.starts_with(key) && option[key.size()] == '=') return option.substr(key.size() + 1);
  return std::nullopt;
}

bool Mount::is_network() const {
  for (const std::string_view known : {"nfs", "cifs", "smb", "ceph", "lustre", "gpfs", "glusterfs", "beegfs", "9p", "virtiofs", "fuse.", "orangefs", "afs", "gfs2", "ocfs2"})
    if (type.starts_with(known)) return true;
  return type == "fuse";  // and not fuseblk, which is a disk
}

// "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue": before the dash any number of optional fields.
std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> found;
  for (const std::string& line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin() + std::min<std::ptrdiff_t>(6, std::ssize(fields)), fields.end(), "-");
    if (fields.end() - dash < 4) continue;
    Mount mount{without_octal(fields[4]), dash[1], without_octal(dash[2]), split(fields[5], ',')};
    for (std::string& option : split(dash[3], ',')) mount.options.push_back(std::move(option));
    found.push_back(std::move(mount));
  }
  return found;
}

const Mount* mount_of(const std::vector<Mount>& mounts, const std::filesystem::path& path) {
  const std::string wanted = path.lexically_normal().string();
  const Mount* best = nullptr;
  for (const Mount& mount : mounts) {
    const std::string& point = mount.point;
    const bool inside = point == "/" || (wanted.starts_with(point) && (wanted.size() == point.size() || wanted[point.size()] == '/'));
    if (inside && (!best || point.size() >= best->point.size())) best = &mount;  // the later of two at one place is on top
  }
  return best;
}

std::vector<Mount> mounts() { return parse_mountinfo(read_file("/proc/self/mountinfo")); }

}  // namespace riverbox::os
