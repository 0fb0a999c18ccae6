// HTTP/1.1 and WebSocket server on the event loop (Beast). Knows no routes: what to do with a request is the owner's.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "net/http.hpp"
#include "net/tls.hpp"
#include "net/websocket.hpp"

namespace riverbox::net {

struct ServerOptions {
  std::string bind_address = "0.0.0.0";
  std::uint16_t port = 8000;                      // 0 = any, see Server::port()
  int inherited_socket = -1;                      // one that listens already, instead of these two; the server's from here on
  std::shared_ptr<TlsContext> tls = nullptr;      // given: the port speaks TLS and nothing else
  std::filesystem::path unix_socket = {};         // given: listens there, too, without TLS
  std::uint64_t max_body_bytes = 8u << 20;
  std::uint64_t max_message_bytes = 16u << 20;    // WebSocket
  int header_timeout_ms = 15000, idle_timeout_ms = 75000;
  unsigned max_connections = 4096;                // WebSockets included; one more is answered 503
  unsigned max_connections_per_peer = 512;        // likewise, of one address; this machine's own are not counted
  WebSocketTiming websocket;
};

struct Accept {
  std::string subprotocol;  // chosen from the client's list, or empty
  std::function<void(std::shared_ptr<WebSocket>)> opened;  // loop thread; must call start()
  std::vector<std::pair<std::string, std::string>> headers = {};  // of the 101 answer, beside those of the handshake
};

struct Handlers {
  // Loop thread; must not block: hand the responder to a worker.
  std::function<void(Request, std::shared_ptr<Responder>)> http;
  // Loop thread; decides before the 101 answer. A Response refuses.
  std::function<std::variant<Response, Accept>(const Request&)> upgrade;
};

class Server {
public:
  // Binds and listens now; a unix socket that cannot be had is only told in the log. Throws Unavailable when the port is in use ("port 8000 is in use ...", who if known), InvalidInput for a bad address. The loop must
  // outlive the server and every WebSocket; one thread runs it.
  Server(boost::asio::io_context& loop, ServerOptions options, Handlers handlers);
  // On the loop thread or after the loop has ended, and before the loop is destroyed.
  ~Server();
  std::uint16_t port() const;  // any thread
  void set_tls(std::shared_ptr<TlsContext> tls);  // loop thread: for the connections from now on, of a server that has had TLS from its start
  void stop();  // loop thread: no new connections, open ones are closed

private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace riverbox::net
