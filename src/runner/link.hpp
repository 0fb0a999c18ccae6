// The one WebSocket to the host: dials for ever, says hello, beats. Loop thread only.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "net/websocket.hpp"
#include "runner/backoff.hpp"
#include "runner/messages.hpp"

namespace riverbox::runner {

class Link : public std::enable_shared_from_this<Link> {
public:
  struct Handlers {
    std::function<std::string()> hello, heartbeat;  // the message, as of now
    // Welcomed: reports may be sent with this generation from now on.
    std::function<void(std::uint64_t generation)> up;
    std::function<void(HostMessage)> message;       // all but Welcome and Refused
    std::string shared_dir;                         // ours, to warn when the host's is another
  };
  Link(boost::asio::io_context& loop, std::string host_url, std::string token, Handlers handlers);
  void start();
  // Closes the link; no handler is called afterwards.
  void stop();
  // Dropped unless the link of that generation is up.
  void send(std::uint64_t generation, std::string message);
  // To the link that is up; dropped when there is none.
  void send(std::string message) { send(generation_, std::move(message)); }

private:
  void dial();
  void dialled(net::WebSocketResult result);
  void refused_upgrade(const net::WebSocketResult& result);
  void received(std::string_view text);
  void welcomed(const Welcome& welcome);
  void closed(std::string_view reason);
  void retry_after(std::chrono::milliseconds delay);
  void beat();
  void after(std::chrono::milliseconds delay, void (Link::*what)());
  void give_up_on_welcome();
  void hang_up(const std::string& why);
  // A line for the log, unless the last one said the same.
  void say(bool problem, const std::string& text);

  boost::asio::io_context& loop_;
  std::string host_url_, shown_host_, token_;
  Handlers handlers_;
  boost::asio::steady_timer timer_;  // the next dial, the wait for the welcome, or the next beat
  Backoff backoff_;
  std::shared_ptr<net::WebSocket> socket_;
  std::uint64_t generation_ = 0;     // counts the sockets; callbacks of an older one are ignored
  std::chrono::milliseconds interval_{5000};
  int unanswered_ = 0;               // beats since the host has answered one
  bool answers_ = false;             // it does; an older one never
  bool up_ = false, refused_ = false, stopped_ = false;
  std::string last_said_;
};

}  // namespace riverbox::runner
