// Server side of a terminal: copies between a WebSocket and a Shell, in the classic JSON dialect or in our own, with bounded memory.
#pragma once
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "terminal/shell.hpp"

namespace riverbox::terminal {

// Loop thread. Takes over the socket; lives until both sides are closed. Blocking calls of the shell run on `workers`.
void start_relay(boost::asio::io_context& loop, os::WorkerPool& workers, std::shared_ptr<net::WebSocket> socket, Opener opener,
                 RelayOptions options);

// Loop thread. Ends a connection for which there is no session, or whose session is cut off elsewhere, with the reason in the words of its dialect.
// `kind` decides the close code, as that of an Opener's error does.
void refuse(net::WebSocket& socket, Dialect dialect, ErrorKind kind, const std::string& why);

}  // namespace riverbox::terminal
