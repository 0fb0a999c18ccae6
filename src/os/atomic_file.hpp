// Files that appear complete or not at all: hidden temporary name in the same folder, fsync, rename, fsync folder.
#pragma once
#include <filesystem>
#include <string_view>

#include "os/fd.hpp"

namespace riverbox::os {

// A file under construction. The destructor removes it unless publish() was called.
class PendingFile {
public:
  // <dir>/.riverbox-<final name>.<pid>.<random>.part, mode 0644 & ~umask. Throws IoError.
  explicit PendingFile(std::filesystem::path final_path, mode_t mode = 0644);
  ~PendingFile();
  PendingFile(PendingFile&&) = delete;
  int fd() const { return fd_.get(); }
  const std::filesystem::path& temporary_path() const { return temporary_; }
  // fsync before its time, so that publish() finds little to do.
  void sync();
  // fsync, close, rename(2) over `final_path`, fsync folder. The errors of close are errors here. A rename whose
  // reply was lost (temporary gone, final has our inode) counts as success.
  void publish(const std::filesystem::path& final_path);
  // True for names this class makes: listings ignore them, start-up removes stale ones.
  static bool is_temporary_name(std::string_view file_name);

private:
  std::filesystem::path temporary_;
  UniqueFd fd_;
  bool published_ = false;
};

void write_atomically(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0644);

}  // namespace riverbox::os
