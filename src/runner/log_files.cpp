#include "runner/log_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::runner {
namespace {

// O_NONBLOCK: a FIFO that somebody put there must not hang the task; regular files do not care.
constexpr int kFlags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

void require_regular_file(int fd, const std::filesystem::path& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw IoError("inspect " + path.string(), errno);
  if (!S_ISREG(status.st_mode)) throw Conflict(path.string() + " is not a regular file");
}

}  // namespace

LogFiles::LogFiles(std::shared_ptr<AttemptLog> log, bool keep) : log_(std::move(log)) {
  for (bool is_stderr : {false, true}) open(is_stderr, keep ? 0 : O_TRUNC);
}

void LogFiles::open(bool is_stderr, int extra_flags) {
  auto& file = files_[is_stderr];
  const auto& path = log_->path(is_stderr);
  try {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) throw IoError("create " + path.parent_path().string(), error.value());
    auto fd = os::open_at(path, kFlags | extra_flags, 0644);
    require_regular_file(fd.get(), path);
    file.fd = std::move(fd);
  } catch (const Error& problem) {
    file.error = problem.fact();
    log::warning("runner", "the output of a task cannot be stored; the task goes on", {{"reason", file.error}});
  }
}

void LogFiles::begin_pass() {
  for (bool is_stderr : {false, true}) {
    auto& file = files_[is_stderr];
    file.seen = 0;
    if (file.error.empty()) continue;
    file.error.clear();
    if (!file.fd) open(is_stderr, 0);
  }
}

void LogFiles::consume(bool is_stderr, std::string_view bytes) {
  auto& file = files_[is_stderr];
  auto begin = file.seen;
  file.seen += bytes.size();
  if (!file.error.empty() || file.seen <= file.written) return;
  if (begin < file.written) bytes.remove_prefix(static_cast<size_t>(file.written - begin));
  write(is_stderr, bytes);
}

void LogFiles::write(bool is_stderr, std::string_view bytes) {
  auto& file = files_[is_stderr];
  while (!bytes.empty()) {
    // pwrite: after a short write that failed, the next pass goes on at the right byte.
    ssize_t n = pwrite(file.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(file.written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      file.error = IoError("write " + log_->path(is_stderr).string(), n < 0 ? errno : EIO).fact();
      log::warning("runner", "the output of a task cannot be stored; the task goes on", {{"reason", file.error}});
      break;
    }
    file.written += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  log_->grown(is_stderr, file.written);
}

void LogFiles::close() {
  for (bool is_stderr : {false, true}) {
    auto& file = files_[is_stderr];
    if (!file.fd) continue;
    const auto& path = log_->path(is_stderr);
    try {
      // Kept bytes of an earlier run that are not part of this output (a torn write before a power cut).
      if (ftruncate(file.fd.get(), static_cast<off_t>(file.written)) != 0) throw IoError("truncate " + path.string(), errno);
      os::sync_and_close(std::move(file.fd), path);
    } catch (const Error& problem) {
      if (file.error.empty()) file.error = problem.fact();
    }
  }
}

std::string LogFiles::problem() const {
  for (const auto& file : files_)
    if (!file.error.empty()) return "The stored output is incomplete: " + file.error + ".";
  return {};
}

}  // namespace riverbox::runner
