#include "environment/archive_writer.hpp"

#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kWrite = 1u << 20;

}  // namespace

ArchiveWriter::ArchiveWriter(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)), write_back_(fd) { buffer_.reserve(2 * kWrite); }

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
  write_back_.reached(written_bytes_);
}

}  // namespace riverbox::environment
