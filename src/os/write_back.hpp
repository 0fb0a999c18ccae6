// Has a file written to its disk while it still grows, on a thread of its own, so that the fsync at its end finds little to do.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace riverbox::os {

class WriteBack {
public:
  // `fd` outlives it. The thread comes with the first megabytes.
  explicit WriteBack(int fd) : fd_(fd) {}
  ~WriteBack();
  WriteBack(const WriteBack&) = delete;
  WriteBack& operator=(const WriteBack&) = delete;
  // So many bytes are in the file now, from its beginning on. Does not block.
  void reached(std::uint64_t size_bytes);

private:
  void run();

  const int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t size_bytes_ = 0, handed_over_bytes_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace riverbox::os
