// Puts an archive into a file while it arrives: large writes, checked on the way, handed to the disk early.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "environment/archive.hpp"
#include "os/write_back.hpp"

namespace riverbox::environment {

inline constexpr std::uint64_t kTell = 4u << 20;  // how often a writer tells how far it is

class ArchiveWriter {
public:
  // `fd` is open for writing at its beginning and outlives the writer; `path` is for messages. Throws IoError, BadData.
  ArchiveWriter(int fd, std::filesystem::path path);
  // True when it is time to tell somebody about the progress (every few MB).
  bool write(std::string_view bytes);
  // Writes the rest and says what the archive is. Not yet durable: os::PendingFile::publish() does that.
  Archive finish();
  std::uint64_t size_bytes() const { return size_bytes_; }

private:
  void flush();
  int fd_;
  std::filesystem::path path_;
  ArchiveVerifier verifier_;
  std::string buffer_;
  std::uint64_t size_bytes_ = 0, written_bytes_ = 0, told_bytes_ = 0;
  os::WriteBack write_back_;
};

}  // namespace riverbox::environment
