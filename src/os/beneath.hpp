// Files in a folder where others may write, too: on the way to them no symbolic link is followed, whoever has put it there, and what is opened is a
// regular file, so that no FIFO and no device makes anybody wait. Hard links cannot be told from files. Blocking; all throw IoError that names the path.
#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "os/fd.hpp"

namespace riverbox::os {

// Something below `root`. The root is the administrator's and may be reached over links; what lies below it may not.
class Place {
public:
  Place() = default;
  // Below the folder that it lies in: only the last name is looked at.
  Place(std::filesystem::path path);  // implicit: a path of this machine is a place
  Place(std::filesystem::path root, std::filesystem::path below) : root_(std::move(root)), below_(std::move(below)) {}
  const std::filesystem::path& root() const { return root_; }
  const std::filesystem::path& below() const { return below_; }  // empty: the root itself
  std::filesystem::path path() const { return below_.empty() ? root_ : root_ / below_; }
  std::string name() const { return below_.filename().string(); }
  Place parent() const { return {root_, below_.parent_path()}; }
  Place operator/(const std::filesystem::path& name) const { return {root_, below_ / name}; }

private:
  std::filesystem::path root_, below_;
};

// As open(2). A link on the way is an IoError with ELOOP. Throws Conflict for what is neither a regular file nor, with O_DIRECTORY or O_PATH, asked for.
UniqueFd open_beneath(const Place& place, int flags, mode_t mode = 0600);
UniqueFd open_folder(const Place& folder);
std::string read_beneath(const Place& file, size_t max_bytes);
// Of the name itself; nullopt: there is none.
std::optional<struct stat> stat_beneath(const Place& place);
// False: there was none.
bool unlink_beneath(const Place& file);
bool remove_folder_beneath(const Place& folder);  // an empty one; false also for one that is not empty
// Those that are missing, all of them. A link in the place of one is an error.
void make_folders_beneath(const Place& folder, mode_t mode = 0755);
// For every name in it. False: there is no such folder.
bool for_each_name(const Place& folder, const std::function<void(int folder_fd, const char* name, unsigned char type)>& visit);

// For tests: the way without openat2(2), for kernels before 5.6 and where a filter forbids it.
void walk_step_by_step(bool on);

}  // namespace riverbox::os
