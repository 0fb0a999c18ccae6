// The user's end of the way to a task: a WebSocket to the host, over which streams go to ports of one container. Dialled again, for ever, when it is lost. Loop thread only.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "tunnel/socket.hpp"
#include "tunnel/tunnel.hpp"

namespace riverbox::tunnel {

// With which the host closes when there is nothing any more that could be reached, now or later.
inline constexpr std::string_view kGone = "gone";

class UserSession : public std::enable_shared_from_this<UserSession> {
public:
  struct Events {
    std::function<void()> up;                                                      // streams can be opened
    std::function<void(const std::string& why)> down;                              // it was up, or could not be made; the next try comes by itself
    std::function<void(int http_status, const std::string& why)> refused;          // by the host, and it has never been up or will not be any more: nothing is tried any more. Status 0: after it was let in
  };
  // `url`: http://host:port/api/tasks/ID/forward. The token may be empty.
  UserSession(boost::asio::io_context& loop, std::string url, std::string token) : loop_(loop), url_(std::move(url)), token_(std::move(token)), timer_(loop) {}
  void start(Events events);
  void stop();
  Mux* mux() { return up_ && tunnel_ ? &tunnel_->mux() : nullptr; }  // null: it is not up

private:
  void dial();
  void begin(std::shared_ptr<net::WebSocket> socket);
  void lost(const std::string& why);
  void refuse(int http_status, const std::string& why);

  boost::asio::io_context& loop_;
  const std::string url_, token_;
  Timer timer_;
  Events events_;
  std::shared_ptr<Tunnel> tunnel_;
  std::string error_;  // what the host has said before it closes
  std::chrono::milliseconds delay_{0};
  bool up_ = false, was_up_ = false, stopped_ = false;
};

}  // namespace riverbox::tunnel
