// Owned file descriptors and whole-buffer I/O. Blocking; all throw IoError that names the path.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace riverbox::os {

class UniqueFd {
public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept { reset(std::exchange(other.fd_, -1)); return *this; }
  ~UniqueFd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);  // EINTR-safe close, errors ignored: call close_checked() where they matter
private:
  int fd_ = -1;
};

UniqueFd open_read(const std::filesystem::path& path);                 // O_RDONLY|O_CLOEXEC
UniqueFd open_at(const std::filesystem::path& path, int flags, mode_t mode = 0600);
std::string read_file(const std::filesystem::path& path, size_t max_bytes = 64u << 20);
std::string read_file(int fd, size_t max_bytes, const std::filesystem::path& path_for_message);  // from where it stands to its end
void write_all(int fd, std::string_view bytes, const std::filesystem::path& path_for_message);
std::string pread_exact(int fd, size_t size, off_t offset, const std::filesystem::path& path_for_message);
// Where the last `lines` lines of the first `size_bytes` begin; one at the end that has no end yet counts. Reads backwards, and only those lines.
std::uint64_t last_lines_offset(int fd, std::uint64_t size_bytes, std::uint64_t lines, const std::filesystem::path& path_for_message);
void pwrite_all(int fd, std::string_view bytes, std::uint64_t offset, const std::filesystem::path& path_for_message);
// Up to `size_bytes` from `offset` to the same offset of another file, by the kernel where it can (extents can be shared then, nothing is read).
// Returns how many it were, one at least: a file that ends before is BadData. Errors name the path that is written.
std::uint64_t copy_range(int from, int to, std::uint64_t offset, std::uint64_t size_bytes, const std::filesystem::path& path_for_message);
void fsync_dir(const std::filesystem::path& dir);
void fsync_folder(int fd, const std::filesystem::path& path_for_message);
void sync_to_disk(int fd, const std::filesystem::path& path_for_message);  // fsync
// fsync + close; NFS and quota errors appear here.
void sync_and_close(UniqueFd fd, const std::filesystem::path& path_for_message);

}  // namespace riverbox::os
