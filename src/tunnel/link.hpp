// What carries the messages of a tunnel: a unix socket (each message with its length) or a WebSocket (one message in each). Loop thread only.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "net/websocket.hpp"
#include "os/fd.hpp"
#include "tunnel/frames.hpp"

namespace riverbox::tunnel {

class Link {
public:
  struct Events {
    std::function<void(std::string_view)> message;
    std::function<void()> drained;                       // it was clogged (Mux::kQueueBytes) and is not any more
    std::function<void(const std::string& why)> closed;  // by the other end; at most once, and last
    std::function<void(std::string_view)> text = {};     // of a WebSocket; in neither dialect it says anything, but who carries it may
  };
  virtual ~Link() = default;
  virtual void start(Events events) = 0;  // once, before the others. Keeps the link alive until it is closed
  virtual void send(const Message& message) = 0;  // no event comes before it returns
  virtual std::size_t queued_bytes() const = 0;
  virtual void may_read(bool may) = 0;
  virtual void close(const std::string& why) = 0;  // no event any more. What is queued goes out as far as it is taken at once
};

std::shared_ptr<Link> make_link(boost::asio::io_context& loop, os::UniqueFd socket);  // connected, does not block
std::shared_ptr<Link> make_link(std::shared_ptr<net::WebSocket> socket);              // not started

}  // namespace riverbox::tunnel
