#include "net/stream.hpp"

#include <openssl/ssl.h>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <optional>

namespace riverbox::net {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kRecordBytes = 16 << 10;  // the most that one record of TLS holds

}  // namespace

struct Stream::Core {
  explicit Core(Socket s) : socket(std::move(s)) {}
  Socket socket;
  std::shared_ptr<TlsContext> context;
  std::optional<asio::ssl::stream<Socket&>> tls;
  std::array<char, 1024> discarded{};  // by finish()
  std::string record;                  // what several pieces were gathered in
};

Stream::Stream(asio::io_context& loop) : Stream(Socket(loop)) {}
Stream::Stream(Socket socket) : core_(std::make_unique<Core>(std::move(socket))) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

bool Stream::secure() const { return core_->tls.has_value(); }
Stream::Socket& Stream::socket() { return core_->socket; }
Stream::executor_type Stream::get_executor() { return core_->socket.get_executor(); }
bool Stream::is_open() { return core_->socket.is_open(); }

void Stream::close() {
  error_code ec;
  core_->socket.close(ec);
}

void Stream::handshake(std::shared_ptr<TlsContext> context, const std::string& host_name, Done done) {
  core_->context = std::move(context);
  core_->tls.emplace(core_->socket, core_->context->asio());
  const bool is_client = !host_name.empty();
  if (is_client) core_->context->expect(core_->tls->native_handle(), host_name);
  core_->tls->async_handshake(is_client ? asio::ssl::stream_base::client : asio::ssl::stream_base::server, std::move(done));
}

std::string Stream::distrust() const { return core_->tls ? net::distrust(core_->tls->native_handle()) : std::string(); }

void Stream::read(asio::mutable_buffer into, Handler handler) {
  if (core_->tls) return core_->tls->async_read_some(into, std::move(handler));
  core_->socket.async_read_some(into, std::move(handler));
}

// A record for each of several pieces would be waste: what fits into one goes in one.
void Stream::write(const Pieces& pieces, Handler handler) {
  if (!core_->tls) return core_->socket.async_write_some(pieces, std::move(handler));
  asio::const_buffer bytes = pieces.count > 0 ? pieces.all[0] : asio::const_buffer();
  if (pieces.count > 1 && bytes.size() < kRecordBytes) {
    core_->record.resize(std::min(asio::buffer_size(pieces), kRecordBytes));
    asio::buffer_copy(asio::buffer(core_->record), pieces);
    bytes = asio::buffer(core_->record);
  }
  core_->tls->async_write_some(bytes, std::move(handler));
}

// A peer that still sends after our goodbye is an error to TLS; below it, what comes is thrown away as without TLS.
void Stream::finish(Done done) {
  if (!core_->tls) return finish_below(std::move(done));
  core_->tls->async_shutdown([this, done = std::move(done)](error_code failed) {
    if (failed && core_->socket.is_open()) return finish_below(done);
    done(failed);
  });
}

void Stream::finish_below(Done done) {
  error_code ec;
  core_->socket.shutdown(asio::socket_base::shutdown_send, ec);
  if (ec) {
    asio::post(get_executor(), [done = std::move(done), ec] { done(ec); });
    return;
  }
  discard(std::move(done));
}

void Stream::discard(Done done) {
  core_->socket.async_read_some(asio::buffer(core_->discarded), [this, done = std::move(done)](error_code failed, size_t) {
    if (failed) return done(failed == asio::error::eof ? error_code() : failed);
    discard(done);
  });
}

}  // namespace riverbox::net
