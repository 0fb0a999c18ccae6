#include "os/write_back.hpp"

#include <fcntl.h>

#include <system_error>

namespace riverbox::os {
namespace {

constexpr std::uint64_t kStep = 64u << 20;

}  // namespace

WriteBack::~WriteBack() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void WriteBack::reached(std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  size_bytes_ = size_bytes;
  if (size_bytes_ < handed_over_bytes_ + kStep) return;
  try {
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no threads left: the fsync at the end has more to do
  }
  changed_.notify_one();
}

void WriteBack::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || size_bytes_ >= handed_over_bytes_ + kStep; });
    if (ending_) return;
    const std::uint64_t from = handed_over_bytes_, until = size_bytes_;
    lock.unlock();
    // Only a hint, and not every file system takes it.
    ::sync_file_range(fd_, static_cast<off64_t>(from), static_cast<off64_t>(until - from), SYNC_FILE_RANGE_WRITE);
    lock.lock();
    handed_over_bytes_ = until;
  }
}

}  // namespace riverbox::os
