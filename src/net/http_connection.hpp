// One HTTP connection of the server: reads a request, hands it to the owner, writes the answer, reads the next one.
// Pipelined requests therefore wait in the socket and are answered in order. Loop thread only, but for Gate and Exchange.
#pragma once
#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "net/http.hpp"
#include "net/occupancy.hpp"
#include "net/server.hpp"
#include "net/stream.hpp"

namespace riverbox::net {

class HttpConnection;
class HttpParser;  // hides Beast's parser

// The way of other threads to the loop, closed for ever when the server goes: a responder may live longer than both.
class Gate {
public:
  explicit Gate(boost::asio::io_context& loop) : loop_(loop) {}
  void close();
  // Runs `work` on the loop thread, at once when that is this one. Nothing happens once the gate is closed.
  void run(std::function<void()> work);
  bool on_loop_thread();

private:
  boost::asio::io_context& loop_;
  std::mutex mutex_;
  bool open_ = true;
};

// One request and its answer, shared by the connection (loop thread) and the responder (any thread). Holds nothing of
// Asio, so that it may outlive the loop.
struct Exchange {
  bool keep_alive = true, head_only = false, http_1_0 = false;  // settled before the head is posted

  std::mutex mutex;
  std::condition_variable room;
  std::string pending;                    // body bytes, framed, that the producer has written and the loop not yet taken
  size_t in_flight_bytes = 0;
  bool pump_posted = false;
  bool finished = false, failed = false;  // set by the producer
  bool gone = false;                      // set by the connection: nobody reads any more

  OpenBody::Events events;                // of a body that was left open; loop thread
};

// What a connection needs of its server.
struct HttpContext {
  boost::asio::io_context& loop;
  ServerOptions options;
  Handlers handlers;
  std::shared_ptr<Gate> gate;
  std::shared_ptr<Occupancy> occupancy;
  std::function<void(HttpConnection&)> closed;                             // forget it
  std::function<void(std::shared_ptr<WebSocket>)> upgraded;                // keep an eye on it
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
public:
  HttpConnection(Stream::Socket socket, Peer peer, std::shared_ptr<HttpContext> context);
  ~HttpConnection();
  void start();
  // The first byte tells whether the client speaks TLS: one that does not is told so, in its own words.
  void start_tls();
  // Answers 503 without reading anything.
  void start_refusing(std::string_view why);
  void close();

  // For the responder; nothing happens unless `exchange` is the one being handled.
  void answer(const std::shared_ptr<Exchange>& exchange, std::string head, std::string body);
  void begin_stream(const std::shared_ptr<Exchange>& exchange, std::string head);
  void pump_stream(const std::shared_ptr<Exchange>& exchange);

private:
  using Clock = std::chrono::steady_clock;
  enum class State { securing, idle, reading, handling, writing, streaming, lingering, closed };

  void read_more();
  void on_read(boost::system::error_code ec, size_t bytes);
  void parse();
  bool accept_head();
  void dispatch();
  Request take_request();
  void upgrade(Request request);
  void hand_over(Request request, Accept accept);
  void refuse(int status, std::string_view detail);
  void write(std::string head, std::string body);
  void write_some();
  void on_written();
  void finish_response();
  void leave_exchange();
  void watch_for_hangup();
  bool peer_has_gone();
  void linger();
  void set_deadline(int milliseconds);
  void arm_timer();
  void on_timer();

  Stream stream_;
  Peer peer_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<HttpContext> context_;
  std::unique_ptr<Slot> slot_;
  State state_ = State::idle;
  Clock::time_point deadline_;

  boost::beast::flat_buffer in_;
  std::unique_ptr<HttpParser> parser_;
  bool head_seen_ = false;
  std::shared_ptr<Exchange> exchange_;  // while a request is being answered

  std::array<std::string, 2> out_;
  size_t written_ = 0;
};

// Status line, headers and the empty line. `length` absent: chunked, or up to the end of the connection for HTTP/1.0.
std::string format_head(const Response& response, std::optional<std::uint64_t> length, bool keep_alive, bool http_1_0);
std::string format_answer_head(const Response& response, const Exchange& exchange);  // with the length of its body
std::shared_ptr<Responder> make_responder(std::shared_ptr<Gate> gate, std::weak_ptr<HttpConnection> connection,
                                          std::shared_ptr<Exchange> exchange);

}  // namespace riverbox::net
