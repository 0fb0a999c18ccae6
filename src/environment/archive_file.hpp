// An archive opened for reading: what it is, from its index where that fits, and its bytes. Notices when the file changes meanwhile.
// Blocking; one thread at a time.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "base/cancel.hpp"
#include "environment/archive.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {

class ArchiveFile {
public:
  // Reads the index if it fits the file, else the headers of the archive. Throws IoError, and BadData as read_archive() does.
  ArchiveFile(const os::Place& tar, const os::Place& index_file);
  virtual ~ArchiveFile() = default;
  ArchiveFile(ArchiveFile&&) = delete;
  const Archive& archive() const { return archive_; }
  // Reads the small members. An index that says something else than they do is found out by that, and the archive itself is read: archive() may
  // be another one afterwards.
  void read_documents();
  const Documents& documents() const { return documents_; }  // after read_documents()
  // Forgets the index.
  void read_headers();
  bool from_index() const { return from_index_; }
  // The image without its OCI manifest, as only manifest.json names it.
  void forget_manifest();

  const os::Place& place() const { return place_; }
  const std::filesystem::path& path() const { return path_; }  // for messages
  int fd() const { return fd_.get(); }
  // What was read of the share so far, the index included.
  std::uint64_t bytes_read() const { return bytes_read_; }
  // Throws BadData when the file is not what it was when it was opened.
  virtual void check_unchanged() const;

  // Before the bytes of these layers are read from fd(): they may lie elsewhere still. `tell` is told how many of theirs are here.
  virtual void fetch(const std::vector<std::size_t>& layers, const CancelToken& cancel, const std::function<void(std::uint64_t bytes)>& tell);
  // Can the file be read through as what archive() says?
  virtual bool is_complete_tar() const { return true; }

protected:
  // Of an archive that is known already, at offsets of this file.
  ArchiveFile(std::filesystem::path path, os::UniqueFd fd, Archive archive, Documents documents);
  void count_read(std::uint64_t bytes) { bytes_read_ += bytes; }

private:
  bool documents_fit_index();
  os::Place place_;
  std::filesystem::path path_;
  os::UniqueFd fd_;
  struct stat opened_ {};
  Archive archive_;
  Documents documents_;
  bool from_index_ = false, has_documents_ = false;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace riverbox::environment
