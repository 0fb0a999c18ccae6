// Files that appear complete or not at all: hidden temporary name in the same folder, fsync, rename, fsync folder.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "os/beneath.hpp"
#include "os/fd.hpp"

namespace riverbox::os {

// A file under construction. The destructor removes it unless publish() was called. Its folder stays the one that it was, whatever becomes of the folder's name.
class PendingFile {
public:
  // <dir>/.riverbox-<final name>.<pid>.<random>.part, mode 0644 & ~umask. Throws IoError.
  explicit PendingFile(const Place& final_place, mode_t mode = 0644);
  ~PendingFile();
  PendingFile(PendingFile&&) = delete;
  int fd() const { return fd_.get(); }
  const std::filesystem::path& temporary_path() const { return temporary_; }  // for messages
  // fsync before its time, so that publish() finds little to do.
  void sync();
  // fsync, close, rename(2), fsync folder. The errors of close are errors here. A rename whose
  // reply was lost (temporary gone, final has our inode) counts as success.
  void publish();
  // True for names this class makes: listings ignore them, start-up removes stale ones.
  static bool is_temporary_name(std::string_view file_name);

private:
  std::filesystem::path final_, temporary_;
  UniqueFd folder_, fd_;
  bool published_ = false;
};

void write_atomically(const Place& place, std::string_view bytes, mode_t mode = 0644);

}  // namespace riverbox::os
