#include "os/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"

namespace riverbox::os {
namespace {

std::string next_step(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "Free some space and try again.";
    case EROFS: return "The file system is mounted read-only.";
    case ESTALE: return "The share was exported anew; mount it again.";
    default: return "";
  }
}

[[noreturn]] void fail(std::string_view verb, const std::filesystem::path& path, int error) {
  throw IoError(fmt::format("{} {}", verb, path.string()), error, next_step(error));
}

}  // namespace

void UniqueFd::reset(int fd) {
  // Linux closes the descriptor even when close(2) answers EINTR: a second try could hit another thread's file.
  if (fd_ >= 0 && fd_ != fd) {
    const int saved = errno;
    ::close(fd_);
    errno = saved;
  }
  fd_ = fd;
}

UniqueFd open_at(const std::filesystem::path& path, int flags, mode_t mode) {
  for (;;) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (fd) return fd;
    if (errno != EINTR) fail((flags & O_CREAT) ? "create" : "open", path, errno);  // NFS mounted with intr
  }
}

UniqueFd open_read(const std::filesystem::path& path) { return open_at(path, O_RDONLY); }

std::string read_file(const std::filesystem::path& path, size_t max_bytes) {
  const UniqueFd fd = open_read(path);
  return read_file(fd.get(), max_bytes, path);
}

std::string read_file(int fd, size_t max_bytes, const std::filesystem::path& path) {
  std::string content;
  // The size that stat tells is 0 for /proc and /sys: read until the end instead.
  constexpr size_t kChunk = 64 << 10;
  for (;;) {
    const size_t before = content.size();
    content.resize(before + kChunk);
    const ssize_t n = ::read(fd, content.data() + before, kChunk);
    const int error = errno;
    content.resize(before + (n > 0 ? static_cast<size_t>(n) : 0));
    if (n < 0 && error == EINTR) continue;
    if (n < 0) fail("read", path, error);
    if (n == 0) return content;
    if (content.size() > max_bytes) throw BadData(fmt::format("cannot read {}: it is larger than {} bytes", path.string(), max_bytes));
  }
}

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path_for_message) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", path_for_message, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

std::string pread_exact(int fd, size_t size, off_t offset, const std::filesystem::path& path_for_message) {
  std::string bytes(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pread(fd, bytes.data() + done, size - done, offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", path_for_message, errno);
    if (n == 0)
      throw BadData(fmt::format("{} is too short: {} bytes wanted at offset {}, {} are there", path_for_message.string(), size, offset, done));
    done += static_cast<size_t>(n);
  }
  return bytes;
}

std::uint64_t last_lines_offset(int fd, std::uint64_t size_bytes, std::uint64_t lines, const std::filesystem::path& path_for_message) {
  if (lines == 0) return size_bytes;
  constexpr std::uint64_t kPiece = 64 << 10;
  for (std::uint64_t end = size_bytes; end > 0;) {
    const std::uint64_t begin = end - std::min(kPiece, end);
    const std::string bytes = pread_exact(fd, static_cast<size_t>(end - begin), static_cast<off_t>(begin), path_for_message);
    for (size_t at = bytes.size(); (at = bytes.find_last_of('\n', at)) != std::string::npos; --at) {
      const std::uint64_t next_line = begin + at + 1;
      if (next_line < size_bytes && --lines == 0) return next_line;
      if (at == 0) break;
    }
    end = begin;
  }
  return 0;
}

void pwrite_all(int fd, std::string_view bytes, std::uint64_t offset, const std::filesystem::path& path_for_message) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", path_for_message, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

std::uint64_t copy_range(int from, int to, std::uint64_t offset, std::uint64_t size_bytes, const std::filesystem::path& path_for_message) {
  auto in = static_cast<off64_t>(offset), out = in;
  const ssize_t n = ::copy_file_range(from, &in, to, &out, size_bytes, 0);
  if (n > 0) return static_cast<std::uint64_t>(n);
  if (n < 0 && (errno == ENOSPC || errno == EDQUOT)) fail("write", path_for_message, errno);
  // Two file systems, or one that cannot: by hand, and that says what is wrong.
  constexpr std::uint64_t kPiece = 1 << 20;
  const std::string bytes = pread_exact(from, static_cast<size_t>(std::min(size_bytes, kPiece)), in, path_for_message);
  pwrite_all(to, bytes, offset, path_for_message);
  return bytes.size();
}

void fsync_dir(const std::filesystem::path& dir) {
  const std::filesystem::path place = dir.empty() ? "." : dir;
  const UniqueFd fd = open_at(place, O_RDONLY | O_DIRECTORY);
  fsync_folder(fd.get(), place);
}

void fsync_folder(int fd, const std::filesystem::path& path_for_message) {
  // Some network and FUSE file systems cannot sync a folder; there is nothing more to do for them.
  if (::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) fail("sync the folder", path_for_message, errno);
}

void sync_to_disk(int fd, const std::filesystem::path& path_for_message) {
  while (::fsync(fd) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL || errno == ENOTSUP) break;  // a pipe or a device
    fail("sync", path_for_message, errno);
  }
}

void sync_and_close(UniqueFd fd, const std::filesystem::path& path_for_message) {
  sync_to_disk(fd.get(), path_for_message);
  if (::close(fd.release()) != 0 && errno != EINTR) fail("close", path_for_message, errno);
}

}  // namespace riverbox::os
