// The server's side of a WebSocket handshake, kept apart from HTTP so that Beast's two halves compile in two files.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "net/http.hpp"
#include "net/stream.hpp"
#include "net/websocket.hpp"

namespace riverbox::net {

struct AcceptOptions {
  std::string subprotocol;
  std::vector<std::pair<std::string, std::string>> headers;  // of the answer, beside those of the handshake
  std::uint64_t max_message_bytes = 0;
  WebSocketTiming timing;
  std::shared_ptr<void> slot;  // released with the connection
};

// Loop thread. Answers 101 to `request` (already checked) on `stream`, then calls `opened`; a broken connection ends silently.
void accept_websocket(Stream stream, const Request& request, AcceptOptions options,
                      std::function<void(std::shared_ptr<WebSocket>)> opened);

}  // namespace riverbox::net
