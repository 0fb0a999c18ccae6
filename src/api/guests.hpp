// Connections that last longer than a request, terminals and followers and links of runners, and whose token let them in: they end with it. Thread-safe.
#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace riverbox::api {

class Guests {
public:
  explicit Guests(std::function<bool(const std::string& token_id)> is_valid) : is_valid_(std::move(is_valid)) {}
  // `leave`: ends the connection, from any thread; not called any more once `connection` is gone. At once, when the token has ended meanwhile. Without a token nothing happens.
  void add(const std::string& token_id, std::weak_ptr<const void> connection, std::function<void()> leave);
  void show_out(const std::string& token_id);

private:
  struct Guest {
    std::weak_ptr<const void> connection;
    std::function<void()> leave;
  };
  std::function<bool(const std::string&)> is_valid_;
  std::mutex mutex_;
  std::multimap<std::string, Guest> guests_;
  size_t tidy_at_ = 64;
};

}  // namespace riverbox::api
