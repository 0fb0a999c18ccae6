#include "tunnel/splice.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tunnel/socket.hpp"

namespace riverbox::tunnel {

namespace {

namespace asio = boost::asio;

constexpr std::size_t kPumpReads = 4, kDatagramsInTurn = 64;
constexpr std::size_t kKeptPendingBytes = 64 << 10;  // a bigger buffer is given back as soon as it is empty
constexpr auto kIdleCheck = std::chrono::seconds(60);  // a UDP stream that was idle for two of them ends: nobody says goodbye in UDP

// All splices read into the same place: what is read has been sent or dropped when the next one reads.
std::array<char, kMaxPayloadBytes>& carried() {
  static std::array<char, kMaxPayloadBytes> bytes;
  return bytes;
}

std::string nobody(std::uint16_t port, int error_number) {
  if (error_number == ECONNREFUSED) return fmt::format("connection refused: nothing listens on port {} of 127.0.0.1 or ::1 in the container", port);
  return fmt::format("cannot connect to port {} in the container: {}", port, std::strerror(error_number));
}

class TcpSplice : public std::enable_shared_from_this<TcpSplice> {
public:
  TcpSplice(asio::io_context& loop, Mux& mux) : loop_(loop), mux_(&mux) {}

  StreamEvents events() {
    const auto self = shared_from_this();
    return {.opened = [self] { self->pump(); },
            .data = [self](std::string_view bytes) { self->deliver(bytes); },
            .end = [self] { self->no_more_data(); },
            .writable = [self] { self->pump(); },
            .closed = [self](const std::string& why) { self->closed(why); }};
  }

  void connect(StreamId id, std::uint16_t port, Loopback family = Loopback::v4) {
    id_ = id;
    os::UniqueFd fd = loopback_socket(family, SOCK_STREAM);
    const bool done = fd && connect_loopback(fd.get(), family, port);
    const int error_number = done ? 0 : errno;
    if (!fd || (!done && error_number != EINPROGRESS)) return not_connected(port, family, error_number);
    socket_.emplace(loop_, std::move(fd));
    if (done) return connected();
    socket_->when_writable([self = shared_from_this(), port, family] {
      if (!self->socket_) return;  // given up in the same turn of the loop
      int failed = 0;
      socklen_t size = sizeof failed;
      ::getsockopt(self->socket_->fd(), SOL_SOCKET, SO_ERROR, &failed, &size);
      failed == 0 ? self->connected() : self->not_connected(port, family, failed);
    });
  }

  void take(os::UniqueFd fd, const std::function<StreamId(StreamEvents)>& begin) {
    socket_.emplace(loop_, std::move(fd));
    connected_ = true;
    id_ = begin(events());
    if (id_ == 0) reset();
  }

private:
  void connected() {
    connected_ = true;
    if (mux_) mux_->opened(id_);
    flush();
    pump();
  }

  void not_connected(std::uint16_t port, Loopback family, int error_number) {
    socket_.reset();
    if (!mux_) return;
    if (family == Loopback::v4) {
      refused_ = error_number;
      return connect(id_, port, Loopback::v6);
    }
    const int first = refused_;  // what 127.0.0.1 said tells more than that there is no IPv6
    std::exchange(mux_, nullptr)->refuse(id_, nobody(port, first));
  }

  // ---- from the socket into the tunnel

  void pump() {
    if (!connected_ || reading_ || local_ended_) return;
    for (std::size_t turn = 0; mux_ && socket_ && turn < kPumpReads; ++turn) {
      const std::size_t room = mux_->room(id_);
      if (room == 0) return;
      const ssize_t size = ::recv(socket_->fd(), carried().data(), std::min(room, carried().size()), MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) return fail(errno);
      if (size == 0) return local_end();
      mux_->send(id_, {carried().data(), static_cast<std::size_t>(size)});
      if (static_cast<std::size_t>(size) < room) break;
    }
    if (!mux_ || !socket_) return;
    reading_ = true;
    socket_->when_readable([self = shared_from_this()] {
      self->reading_ = false;
      self->pump();
    });
  }

  void local_end() {
    local_ended_ = true;
    if (mux_ && !mux_->end(id_)) {
      mux_ = nullptr;
      remote_ended_ = true;
    }
    finish();
  }

  // ---- from the tunnel into the socket

  std::size_t pending() const { return pending_.size() - at_; }

  void deliver(std::string_view bytes) {
    if (!socket_ && connected_) return;
    if (connected_ && pending() == 0) {
      const ssize_t size = ::send(socket_->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno != EAGAIN && errno != EINTR) return fail(errno);
      if (size > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(size));
        if (mux_) mux_->consumed(id_, static_cast<std::size_t>(size));
      }
      if (bytes.empty()) return;
    }
    pending_ += bytes;
    wait_to_write();
  }

  void wait_to_write() {
    if (!connected_ || !socket_ || std::exchange(writing_, true)) return;
    socket_->when_writable([self = shared_from_this()] {
      self->writing_ = false;
      self->flush();
    });
  }

  void flush() {
    if (!connected_ || !socket_) return;
    while (pending() > 0) {
      const ssize_t size = ::send(socket_->fd(), pending_.data() + at_, pending(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) return fail(errno);
      at_ += static_cast<std::size_t>(size);
      if (mux_) mux_->consumed(id_, static_cast<std::size_t>(size));
    }
    if (pending() > 0) {
      if (at_ >= pending_.size() / 2) pending_.erase(0, std::exchange(at_, 0));
      return wait_to_write();
    }
    pending_.clear();
    at_ = 0;
    if (pending_.capacity() > kKeptPendingBytes) pending_.shrink_to_fit();
    if (remote_ended_) finish();
  }

  void no_more_data() {
    remote_ended_ = true;
    if (local_ended_) mux_ = nullptr;
    finish();
  }

  // ---- the end

  void finish() {
    if (!socket_ || !connected_) return;
    if (remote_ended_ && pending() == 0) {
      if (local_ended_ || !mux_) return socket_.reset();
      ::shutdown(socket_->fd(), SHUT_WR);
    }
  }

  void closed(const std::string& why) {
    mux_ = nullptr;
    remote_ended_ = true;
    if (!why.empty() || !connected_) return reset();
    finish();
  }

  void fail(int error_number) {
    if (mux_) std::exchange(mux_, nullptr)->close(id_, std::strerror(error_number));
    reset();
  }

  // Whoever is at the other end of the socket shall not take this for an end in order.
  void reset() {
    mux_ = nullptr;
    pending_ = {};
    at_ = 0;
    if (!socket_) return;
    const linger at_once{1, 0};
    ::setsockopt(socket_->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket_.reset();
  }

  asio::io_context& loop_;
  Mux* mux_;  // null: the stream is over
  StreamId id_ = 0;
  std::optional<Socket> socket_;
  std::string pending_;  // from at_ on: for the socket
  std::size_t at_ = 0;
  int refused_ = 0;
  bool connected_ = false, reading_ = false, writing_ = false, local_ended_ = false, remote_ended_ = false;
};

class UdpSplice : public std::enable_shared_from_this<UdpSplice> {
public:
  UdpSplice(asio::io_context& loop, Mux& mux, StreamId id, std::uint16_t port) : loop_(loop), timer_(loop), mux_(&mux), id_(id), port_(port) {}

  StreamEvents events() {
    const auto self = shared_from_this();
    return {.opened = {},
            .data = [self](std::string_view datagram) { self->deliver(datagram); },
            .end = {},
            .writable = {},  // what finds no room is dropped
            .closed = [self](const std::string&) { self->leave(); }};
  }

  void connect() {
    if (!bind(Loopback::v4) && !bind(Loopback::v6)) return std::exchange(mux_, nullptr)->refuse(id_, nobody(port_, errno));
    mux_->opened(id_);
    check_later();
  }

private:
  bool bind(Loopback family) {
    os::UniqueFd fd = loopback_socket(family, SOCK_DGRAM);
    if (!fd || !connect_loopback(fd.get(), family, port_)) return false;
    socket_.emplace(loop_, std::move(fd));
    family_ = family;
    wait_to_read();
    return true;
  }

  void deliver(std::string_view datagram) {
    active_ = true;
    if (!socket_) return;
    if (!answered_ && family_ == Loopback::v4) unanswered_ = datagram;
    if (::send(socket_->fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) turn_to_v6();
  }

  // Nobody is there at 127.0.0.1; that is learnt from the first datagram, and ::1 may have somebody.
  void turn_to_v6() {
    if (answered_ || family_ == Loopback::v6 || !socket_) return;
    socket_.reset();
    if (!bind(Loopback::v6) && !bind(Loopback::v4)) return;
    ::send(socket_->fd(), unanswered_.data(), unanswered_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    unanswered_ = {};
    answered_ = true;  // it is not tried again
  }

  void wait_to_read() {
    socket_->when_readable([self = shared_from_this()] { self->read(); });
  }

  void read() {
    for (std::size_t turn = 0; mux_ && socket_ && turn < kDatagramsInTurn; ++turn) {
      const ssize_t size = ::recv(socket_->fd(), carried().data(), carried().size(), MSG_DONTWAIT);
      if (size < 0 && errno == ECONNREFUSED && !answered_ && family_ == Loopback::v4) return turn_to_v6();
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) continue;  // of a datagram before; the next may arrive
      active_ = answered_ = true;
      unanswered_ = {};
      mux_->send(id_, {carried().data(), static_cast<std::size_t>(size)});
    }
    if (mux_ && socket_) wait_to_read();
  }

  void check_later() {
    timer_.after(kIdleCheck, [self = shared_from_this()] {
      if (!self->mux_) return;
      if (std::exchange(self->active_, false)) return self->check_later();
      self->mux_->close(self->id_);
      self->leave();
    });
  }

  void leave() {
    mux_ = nullptr;
    timer_.cancel();
    socket_.reset();
  }

  asio::io_context& loop_;
  Timer timer_;
  Mux* mux_;  // null: the stream is over
  const StreamId id_;
  const std::uint16_t port_;
  std::optional<Socket> socket_;
  Loopback family_ = Loopback::v4;
  std::string unanswered_;
  bool answered_ = false, active_ = true;
};

}  // namespace

StreamEvents splice_to_port(asio::io_context& loop, Mux& mux, StreamId id, Proto proto, std::uint16_t port) {
  if (proto == Proto::udp) {
    const auto splice = std::make_shared<UdpSplice>(loop, mux, id, port);
    splice->connect();
    return splice->events();
  }
  const auto splice = std::make_shared<TcpSplice>(loop, mux);
  splice->connect(id, port);
  return splice->events();
}

void splice_socket(asio::io_context& loop, Mux& mux, os::UniqueFd socket, const std::function<StreamId(StreamEvents)>& begin) {
  std::make_shared<TcpSplice>(loop, mux)->take(std::move(socket), begin);
}

}  // namespace riverbox::tunnel
