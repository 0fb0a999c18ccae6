// SHA-256 on a thread of its own, of what the caller writes meanwhile: on two cores an archive is checked in the time of writing it.
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/sha256.hpp"

namespace riverbox::environment {

class HashPipe {
public:
  using Chunk = std::shared_ptr<const std::string>;
  HashPipe();
  ~HashPipe();
  HashPipe(const HashPipe&) = delete;
  HashPipe& operator=(const HashPipe&) = delete;
  // Blocks while four chunks wait.
  void push(Chunk chunk);
  // Of everything since the beginning or the last finish().
  Digest finish();

private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Chunk> waiting_;
  bool busy_ = false, over_ = false;
  Sha256 sha_;
  std::thread thread_;
};

}  // namespace riverbox::environment
