#include "runner/log_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {
namespace {

// The last line of a file that could not take more.
std::string notice(char last_kept, std::uint64_t max_bytes) {
  return fmt::format("{}[riverbox] The output goes on, but only its first {} bytes are kept ([tasks] max_output).\n", last_kept == '\n' ? "" : "\n", max_bytes);
}

}  // namespace

LogFiles::LogFiles(std::shared_ptr<AttemptLog> log, bool keep, std::uint64_t max_bytes) : log_(std::move(log)), max_bytes_(max_bytes) {
  for (bool is_stderr : {false, true}) open(is_stderr, keep ? 0 : O_TRUNC);
}

void LogFiles::open(bool is_stderr, int extra_flags) {
  auto& file = files_[is_stderr];
  const os::Place& place = log_->file(is_stderr);
  try {
    os::make_folders_beneath(place.parent(), 0777);  // the umask says who may write there
    file.fd = os::open_beneath(place, O_WRONLY | O_CREAT | extra_flags, 0644);
  } catch (const Error& problem) {
    file.error = problem.fact();
    log::warning("runner", "the output of a task cannot be stored; the task goes on", {{"reason", file.error}});
  }
}

void LogFiles::begin_pass() {
  for (bool is_stderr : {false, true}) {
    auto& file = files_[is_stderr];
    file.seen = 0;
    file.last = '\n';
    if (file.error.empty()) continue;
    file.error.clear();
    if (!file.fd) open(is_stderr, 0);
  }
}

void LogFiles::consume(bool is_stderr, std::string_view bytes) {
  auto& file = files_[is_stderr];
  const auto begin = file.seen;
  file.seen += bytes.size();
  if (max_bytes_ > 0 && begin > max_bytes_) return;
  const bool crosses = max_bytes_ > 0 && file.seen > max_bytes_;  // once in each pass
  if (crosses) bytes = bytes.substr(0, static_cast<size_t>(max_bytes_ - begin));
  if (!bytes.empty()) file.last = bytes.back();
  put(is_stderr, begin, bytes);
  if (!crosses) return;
  file.cut = true;
  put(is_stderr, max_bytes_, notice(file.last, max_bytes_));
}

// What is in the file already is left out.
void LogFiles::put(bool is_stderr, std::uint64_t offset, std::string_view bytes) {
  auto& file = files_[is_stderr];
  if (!file.error.empty() || offset + bytes.size() <= file.written) return;
  if (offset < file.written) bytes.remove_prefix(static_cast<size_t>(file.written - offset));
  write(is_stderr, bytes);
}

void LogFiles::write(bool is_stderr, std::string_view bytes) {
  auto& file = files_[is_stderr];
  while (!bytes.empty()) {
    // pwrite: after a short write that failed, the next pass goes on at the right byte.
    ssize_t n = pwrite(file.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(file.written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      file.error = IoError("write " + log_->file(is_stderr).path().string(), n < 0 ? errno : EIO).fact();
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
    const auto path = log_->file(is_stderr).path();
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
  if (!files_[0].cut && !files_[1].cut) return {};
  const std::string_view which = !files_[1].cut ? "stdout" : !files_[0].cut ? "stderr" : "stdout and of its stderr";
  return fmt::format("Of its {} only the first {} are kept.", which, human_bytes(max_bytes_));
}

}  // namespace riverbox::runner
