// A connected byte stream, the same for what stands on it: TCP or a unix socket, plain or inside TLS. Fulfils Asio's AsyncStream, so that Beast can stand on it.
// Handlers are type-erased on the way: TLS is compiled once, not once for each of them. Loop thread only; one read and one write at a time.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "net/tls.hpp"

namespace riverbox::net {

class Stream {
public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using executor_type = Socket::executor_type;
  using Transferred = void(boost::system::error_code, std::size_t);
  using Handler = boost::asio::any_completion_handler<Transferred>;
  using Done = std::function<void(boost::system::error_code)>;

  explicit Stream(boost::asio::io_context& loop);
  explicit Stream(Socket socket);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  // Everything after it goes through TLS. A client that has a `host_name` wants the certificate to be this host's, and tells which it wants.
  void handshake(std::shared_ptr<TlsContext> context, const std::string& host_name, Done done);
  bool secure() const;
  // Why the certificate of the server was not accepted, for people; "" when that was not the reason.
  std::string distrust() const;
  // Says goodbye (TLS: close_notify; else the end of our half) and waits for the peer to leave as well; what still comes is thrown away. The caller bounds the time with close().
  void finish(Done done);

  Socket& socket();  // what lies below: options, readiness, cancelling
  executor_type get_executor();
  bool is_open();
  void close();

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, Transferred>([this](auto handler, boost::asio::mutable_buffer into) { read(into, Handler(std::move(handler))); }, token,
                                                           first_of(buffers));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, Transferred>([this](auto handler, Pieces pieces) { write(pieces, Handler(std::move(handler))); }, token, pieces_of(buffers));
  }

private:
  // A buffer sequence of a fixed size; what does not fit is written the next time.
  struct Pieces {
    std::array<boost::asio::const_buffer, 8> all;
    size_t count = 0;
    auto begin() const { return all.begin(); }
    auto end() const { return all.begin() + static_cast<std::ptrdiff_t>(count); }
  };
  template <class Buffers>
  static Pieces pieces_of(const Buffers& buffers) {
    Pieces pieces;
    for (auto it = boost::asio::buffer_sequence_begin(buffers); it != boost::asio::buffer_sequence_end(buffers) && pieces.count < pieces.all.size(); ++it)
      if (const boost::asio::const_buffer piece = *it; piece.size() > 0) pieces.all[pieces.count++] = piece;
    return pieces;
  }
  template <class Buffers>
  static boost::asio::mutable_buffer first_of(const Buffers& buffers) {
    for (auto it = boost::asio::buffer_sequence_begin(buffers); it != boost::asio::buffer_sequence_end(buffers); ++it)
      if (const boost::asio::mutable_buffer into = *it; into.size() > 0) return into;
    return {};
  }
  void read(boost::asio::mutable_buffer into, Handler handler);
  void write(const Pieces& pieces, Handler handler);
  void finish_below(Done done);
  void discard(Done done);

  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace riverbox::net
