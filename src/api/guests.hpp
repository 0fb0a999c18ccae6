// Connections that last longer than a request, terminals and followers and links of runners, and whose token let them in: they end with it. Likewise those into VPSs of others, which
// end with the sharing: their key is guest_key(). Thread-safe.
#pragma once
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace riverbox::api {

class Guests {
public:
  using IsValid = std::function<bool(const std::string& token_id)>;
  Guests(boost::asio::io_context& loop, IsValid is_valid) : loop_(loop), is_valid_(std::move(is_valid)) {}
  // `leave(Connection&)` ends the connection, on the loop thread; at once, when the token has ended meanwhile. Without a token nothing happens.
  template <class Connection, class Leave>
  void add(const std::string& token_id, const std::shared_ptr<Connection>& connection, Leave leave) {
    add(token_id, Guest{connection, [weak = std::weak_ptr(connection), leave] {
                          if (const auto alive = weak.lock()) leave(*alive);
                        }});
  }
  void show_out(const std::string& token_id);

private:
  struct Guest {
    std::weak_ptr<const void> connection;
    std::function<void()> leave;
  };
  void add(const std::string& token_id, Guest guest);

  boost::asio::io_context& loop_;
  IsValid is_valid_;
  std::mutex mutex_;
  std::multimap<std::string, Guest> guests_;
  size_t tidy_at_ = 64;
};

}  // namespace riverbox::api
