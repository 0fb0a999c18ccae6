// What lies on the share, for answers that have to come although the share hangs. Thread-safe.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "environment/share.hpp"

namespace riverbox::api {

class KnownArchives {
public:
  using Listing = std::shared_ptr<const environment::Listing>;
  // `read` may hang, and throws when there is no share. `post` has it run by somebody else; false: nobody is free.
  KnownArchives(std::function<bool(std::function<void()>)> post, std::function<Listing()> read) : post_(std::move(post)), read_(std::move(read)) {}

  // As it is now; as it was read last when that takes longer than `patience`. Null: nothing is known, or there is no share. Blocks for no longer than that, and not at all
  // while one that was asked before has been waiting for longer.
  Listing listing(std::chrono::milliseconds patience);

private:
  void read();

  std::function<bool(std::function<void()>)> post_;
  std::function<Listing()> read_;
  std::mutex mutex_;
  std::condition_variable read_again_;
  Listing last_;
  bool reading_ = false;
  std::chrono::steady_clock::time_point began_{};
};

}  // namespace riverbox::api
