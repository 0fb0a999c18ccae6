// Between the handshakes and the connection. Only the two websocket*.cpp files include this and with it Beast's WebSocket.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include <boost/beast/websocket/stream.hpp>

#include "net/stream.hpp"
#include "net/websocket.hpp"

namespace riverbox::net {

// What Beast's WebSocket wants to know of a stream that is none of Boost's: how it ends.
inline void beast_close_socket(Stream& stream) { stream.close(); }
template <class Handler>
void async_teardown(boost::beast::role_type, Stream& stream, Handler&& handler) {
  auto done = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
  stream.finish([done](boost::system::error_code ec) { (*done)(ec); });
}

using WsStream = boost::beast::websocket::stream<Stream, false>;  // false: no compression in the program at all

// The options that both ends share; before the handshake.
void prepare(WsStream& stream);
// After the handshake. `slot` is released with the connection.
std::shared_ptr<WebSocket> make_websocket(WsStream stream, std::string subprotocol, std::uint64_t max_message_bytes, WebSocketTiming timing,
                                          std::shared_ptr<void> slot);

}  // namespace riverbox::net
