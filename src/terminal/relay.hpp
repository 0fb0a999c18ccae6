// Server side of a terminal: copies between a WebSocket and a Shell, in the classic JSON dialect or in our own, with bounded memory.
#pragma once
#include <memory>

#include <boost/asio/io_context.hpp>

#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "terminal/shell.hpp"

namespace riverbox::terminal {

enum class Dialect {
  classic,     // JSON text frames; starts at once, greets with "Terminal connected.\r\n" (HakuRiver)
  kohaku,      // JSON text frames; waits up to 2 s for the first resize, acknowledges with an empty output (KohakuRiver)
  riverbox,    // terminal/protocol.hpp
};

struct RelayOptions {
  Dialect dialect = Dialect::classic;
  OpenRequest open;      // initial size, tty, environment from the query string
};

// Loop thread. Takes over the socket; lives until both sides are closed. Blocking calls of the shell run on `workers`.
void start_relay(boost::asio::io_context& loop, os::WorkerPool& workers, std::shared_ptr<net::WebSocket> socket, Opener opener,
                 RelayOptions options);

}  // namespace riverbox::terminal
