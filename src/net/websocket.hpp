// A WebSocket connection, the same for both ends. All callbacks run on the loop thread; send() and close() may be called from any.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/http.hpp"

namespace riverbox::net {

struct WebSocketTiming {
  int ping_after_ms = 30000;    // nothing heard for this long: ping
  int silent_after_ms = 75000;  // nothing heard for this long, pings included: closed with 1006
  int close_ms = 5000;          // for the peer to take what is queued and to answer the close frame
};

// Codes given to `closed`: what the peer's close frame says (1005: no code); 1002, 1007, 1009 when it broke the protocol,
// sent bad UTF-8 or too long a message; 1006 when the connection broke, fell silent or did not answer our close frame.
class WebSocket {
public:
  struct Events {
    std::function<void(std::string_view data, bool binary)> message;
    std::function<void(std::uint16_t code, std::string_view reason)> closed;  // exactly once, also after our own close()
    std::function<void()> drained;                                           // the send queue became empty
  };
  virtual ~WebSocket() = default;
  // Begins to read; called once, on the loop thread. Keeps the connection alive until `closed`.
  virtual void start(Events events) = 0;
  virtual void send(std::string data, bool binary) = 0;
  virtual size_t queued_bytes() const = 0;      // loop thread; for flow control: sent by us, not yet taken by the kernel
  virtual void pause_reading() = 0;             // loop thread; back-pressure towards the peer
  virtual void resume_reading() = 0;
  // After what is queued has been sent. Nothing that is sent or received later counts. A reason has at most 123 bytes.
  virtual void close(std::uint16_t code, std::string reason) = 0;
  virtual const std::string& subprotocol() const = 0;
};

struct WebSocketRequest {
  std::string url;  // http://host:port/path?query (ws:// is accepted too)
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::string> subprotocols;
  int timeout_ms = 10000;                        // for name, connection and handshake together
  std::uint64_t max_message_bytes = 16u << 20;
  WebSocketTiming timing;
};
struct WebSocketResult {
  std::shared_ptr<WebSocket> socket;  // null: refused
  int http_status = 0;                // of a refusal; 0 = no connection
  std::string error;                  // human text; for a refusal the "detail" of the body
};
// Loop thread. `done` is called exactly once on the loop thread.
void connect_websocket(boost::asio::io_context& loop, WebSocketRequest request, std::function<void(WebSocketResult)> done);

}  // namespace riverbox::net
