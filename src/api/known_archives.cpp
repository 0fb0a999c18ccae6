#include "api/known_archives.hpp"

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::api {

KnownArchives::Listing KnownArchives::listing(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!reading_) {
    reading_ = post_([this] { read(); });
    began_ = std::chrono::steady_clock::now();
  }
  read_again_.wait_until(lock, began_ + patience, [this] { return !reading_; });
  return last_;
}

void KnownArchives::read() {
  Listing listing;
  try {
    listing = read_();
  } catch (const std::exception& error) {
    log::debug("host", "the share cannot be listed", {{"reason", error.what()}});
  }
  const std::lock_guard lock(mutex_);
  last_ = std::move(listing);
  reading_ = false;
  read_again_.notify_all();
}

}  // namespace riverbox::api
