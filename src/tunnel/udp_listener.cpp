#include "tunnel/udp_listener.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "tunnel/socket.hpp"

namespace riverbox::tunnel {

namespace {

constexpr std::chrono::seconds kIdle{60};        // a sender who is silent for one to two of these is forgotten
constexpr std::size_t kDatagramsAtOnce = 64;
constexpr std::size_t kEarlyDatagrams = 16;      // that wait for the other side to connect
constexpr std::size_t kMaxSenders = 512;

}  // namespace

struct UdpListener::Core : std::enable_shared_from_this<Core> {
  struct Sender {
    StreamId id = 0;
    bool opened = false, active = true;
    std::vector<std::string> early;
  };
  using Address = std::string;  // the bytes of a sockaddr

  Core(boost::asio::io_context& loop, os::UniqueFd fd, std::uint16_t to, std::function<Mux*()> which) : port(to), mux(std::move(which)), timer(loop) { socket.emplace(loop, std::move(fd)); }

  void wait() {
    socket->when_readable([self = shared_from_this()] { self->read(); });
  }

  void read() {
    std::array<char, kMaxPayloadBytes> datagram;
    for (std::size_t turn = 0; socket && turn < kDatagramsAtOnce; ++turn) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t bytes = ::recvfrom(socket->fd(), datagram.data(), datagram.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
      if (bytes < 0) break;
      take(Address(reinterpret_cast<const char*>(&from), size), {datagram.data(), static_cast<std::size_t>(bytes)});
    }
    if (socket) wait();
  }

  void take(const Address& from, std::string_view datagram) {
    Mux* const now = mux();
    if (!now) return;
    if (!senders.contains(from) && !begin(*now, from)) return;
    Sender& sender = senders[from];
    sender.active = true;
    if (sender.opened) now->send(sender.id, datagram);
    else if (sender.early.size() < kEarlyDatagrams) sender.early.emplace_back(datagram);
  }

  bool begin(Mux& now, const Address& from) {
    if (senders.size() >= kMaxSenders) return false;
    const std::weak_ptr<Core> weak = shared_from_this();
    StreamEvents events;
    events.opened = [weak, from] { if (const auto self = weak.lock()) self->opened(from); };
    events.data = [weak, from](std::string_view datagram) { if (const auto self = weak.lock()) self->give(from, datagram); };
    events.closed = [weak, from](const std::string& why) { if (const auto self = weak.lock()) self->forget(from, why); };
    try {
      senders[from].id = now.open(Proto::udp, port, std::move(events));
      return true;
    } catch (const Error& error) {
      log::warning("tunnel", "a datagram is lost", {{"reason", error.what()}});
      senders.erase(from);
      return false;
    }
  }

  void opened(const Address& from) {
    const auto found = senders.find(from);
    Mux* const now = mux();
    if (found == senders.end() || !now) return;
    found->second.opened = true;
    for (const std::string& datagram : std::exchange(found->second.early, {})) now->send(found->second.id, datagram);
  }

  void give(const Address& to, std::string_view datagram) {
    if (const auto found = senders.find(to); found != senders.end()) found->second.active = true;
    if (socket) ::sendto(socket->fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size()));
  }

  void forget(const Address& from, const std::string& why) {
    if (!why.empty()) log::warning("tunnel", "a way for datagrams broke", {{"reason", why}});
    senders.erase(from);
  }

  void look_for_idle() {
    timer.after(kIdle, [self = shared_from_this()] {
      if (!self->socket) return;  // it was due when the listener went
      Mux* const now = self->mux();
      for (auto sender = self->senders.begin(); sender != self->senders.end();) {
        if (std::exchange(sender->second.active, false)) {
          ++sender;
          continue;
        }
        if (now) now->close(sender->second.id);
        sender = self->senders.erase(sender);
      }
      self->look_for_idle();
    });
  }

  const std::uint16_t port;
  const std::function<Mux*()> mux;
  std::optional<Socket> socket;
  Timer timer;
  std::map<Address, Sender> senders;
};

UdpListener::UdpListener(boost::asio::io_context& loop, os::UniqueFd socket, std::uint16_t port, std::function<Mux*()> mux)
    : core_(std::make_shared<Core>(loop, std::move(socket), port, std::move(mux))) {
  core_->wait();
  core_->look_for_idle();
}

UdpListener::~UdpListener() {
  core_->timer.cancel();
  core_->socket.reset();
}

}  // namespace riverbox::tunnel
