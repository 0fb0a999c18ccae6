// Between the handshakes and the connection. Only the two websocket*.cpp files include this and with it Beast's WebSocket.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "net/websocket.hpp"

namespace riverbox::net {

using Stream = boost::beast::websocket::stream<boost::asio::ip::tcp::socket, false>;  // false: no compression in the program at all

// The options that both ends share; before the handshake.
void prepare(Stream& stream);
// After the handshake. `slot` is released with the connection.
std::shared_ptr<WebSocket> make_websocket(Stream stream, std::string subprotocol, std::uint64_t max_message_bytes, WebSocketTiming timing,
                                          std::shared_ptr<void> slot);

}  // namespace riverbox::net
