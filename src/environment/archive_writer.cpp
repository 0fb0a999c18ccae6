#include "environment/archive_writer.hpp"

#include <fcntl.h>

#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kWrite = 1u << 20;

}  // namespace

ArchiveWriter::ArchiveWriter(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) { buffer_.reserve(2 * kWrite); }

bool ArchiveWriter::write(std::string_view bytes) {
  verifier_.feed(bytes);
  size_bytes_ += bytes.size();
  buffer_ += bytes;
  if (buffer_.size() >= kWrite) flush();
  if (size_bytes_ - told_bytes_ < kTell) return false;
  told_bytes_ = size_bytes_;
  return true;
}

Archive ArchiveWriter::finish() {
  Archive archive = verifier_.finish();
  flush();
  return archive;
}

void ArchiveWriter::flush() {
  os::write_all(fd_, buffer_, path_);
  written_bytes_ += buffer_.size();
  buffer_.clear();
  if (written_bytes_ - handed_over_bytes_ < kHandOver) return;
  // Only a hint, and not every file system takes it.
  sync_file_range(fd_, static_cast<off64_t>(handed_over_bytes_), static_cast<off64_t>(written_bytes_ - handed_over_bytes_), SYNC_FILE_RANGE_WRITE);
  handed_over_bytes_ = written_bytes_;
}

}  // namespace riverbox::environment
