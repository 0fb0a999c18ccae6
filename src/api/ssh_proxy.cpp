#include "api/ssh_proxy.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "api/gate.hpp"
#include "api/task_stream.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/listener.hpp"
#include "net/peer.hpp"
#include "tunnel/acceptor.hpp"
#include "tunnel/socket.hpp"
#include "tunnel/splice.hpp"
#include "tunnel/tunnel.hpp"

namespace riverbox::api {

namespace {

constexpr std::chrono::seconds kLinePatience{10}, kServerPatience{20};
constexpr size_t kMaxLine = 512;
constexpr size_t kMaxConnections = 512;  // of all clients
constexpr std::uint16_t kSshPort = 22;   // in the container
constexpr std::string_view kRequest = "REQUEST_TUNNEL ";

}  // namespace

ProxyRequest ProxyRequest::parse(std::string_view line) {
  line = trim(line);
  if (!line.starts_with(kRequest)) throw InvalidInput("Invalid request format.");
  line = trim(line.substr(kRequest.size()));
  const size_t blank = line.find(' ');
  const auto id = parse_u64(line.substr(0, blank));
  if (!id) throw InvalidInput("Invalid task ID format.");
  return {TaskId(*id), blank == std::string_view::npos ? "" : std::string(trim(line.substr(blank)))};
}

struct SshProxy::Core : std::enable_shared_from_this<Core> {
  Core(Services& s, const std::string& address, std::uint16_t port) : services(s) {
    net::Listener listener = net::open_listener(s.loop, address, port);
    listener.native_non_blocking(true);
    socket = os::UniqueFd(listener.release());
  }
  void start();

  Services& services;
  os::UniqueFd socket;
  std::optional<tunnel::Acceptor> acceptor;
  size_t connections = 0;
};

namespace {

// One client: a line, an answer, and then the SSH server.
class ProxyClient : public std::enable_shared_from_this<ProxyClient> {
public:
  ProxyClient(Services& services, os::UniqueFd fd, std::shared_ptr<void> counted)
      : services_(services), counted_(std::move(counted)), address_(net::peer_of(fd.get()).address), socket_(std::in_place, services.loop, std::move(fd)), patience_(services.loop), wish_(std::make_shared<StreamWish>(services)) {}

  void start() {
    patience_.after(kLinePatience, [self = shared_from_this()] { self->refuse("Timeout waiting for request."); });
    wait();
  }

private:
  void wait() {
    socket_->when_readable([self = shared_from_this()] { self->read(); });
  }

  // Not beyond the line: what follows is the SSH server's.
  void read() {
    for (;;) {
      char next = 0;
      const ssize_t size = ::recv(socket_->fd(), &next, 1, MSG_DONTWAIT);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
      if (size <= 0) return over();
      if (next == '\n') return asked();
      line_ += next;
      if (line_.size() > kMaxLine) return refuse("Invalid request format.");
    }
  }

  void asked() {
    patience_.cancel();
    try {
      const auto request = ProxyRequest::parse(line_);
      const auto identity = identity_of(request);
      token_id_ = identity.token_id;
      services_.vps_guests.add(guest_key(identity.name, request.id), shared_from_this(), [](ProxyClient& cut) { cut.over(); });
      if (!services_.state.post([self = shared_from_this(), identity, id = request.id] { self->look(identity, id); })) refuse("The host is busy.");
    } catch (const Error& error) {
      refuse(error.fact());
    }
  }

  // As over HTTP, also when somebody guesses.
  Identity identity_of(const ProxyRequest& asked) const {
    net::Request request;
    request.method = "GET";
    request.path = "/ssh/" + asked.id.str();
    request.remote_address = address_;
    if (!asked.token.empty()) request.headers["authorization"] = "Bearer " + asked.token;
    auto admitted = admit(services_, request, Access::user);
    if (const auto* identity = std::get_if<Identity>(&admitted)) {
      audit(*identity, request);
      return *identity;
    }
    if (asked.token.empty()) throw Unauthorized("This host wants a token: log in with riverbox ssh, or send it behind the task ID.");
    throw Forbidden(std::get<net::Response>(admitted).status == 401 ? "The token is not valid." : "The token's user may not log in to VPSs.");
  }

  // State worker.
  void look(const Identity& identity, TaskId id) {
    auto tell = [self = shared_from_this()](std::string why) { boost::asio::post(self->services_.loop, [self, why = std::move(why)] { self->refuse(why); }); };
    try {
      const auto task = visible_task(services_, identity, id);
      if (!task.spec.vps) return tell(fmt::format("Task {} is not a VPS task.", id.str()));
      if (task.state != TaskState::running) return tell(fmt::format("VPS task {} is not active (status: {}).", id.str(), to_string(task.state)));
      if (task.spec.vps->ssh == VpsSpec::Ssh::disabled) return tell(fmt::format("VPS task {} has no SSH port assigned.", id.str()));
      auto place = find_place(services_, identity, id);
      if (!place.node.description.forwards) refuse_old_runner(place, "to reach a VPS by SSH");
      boost::asio::post(services_.loop, [self = shared_from_this(), place = std::move(place)] { self->dial(place); });
    } catch (const NotFound&) {
      tell(fmt::format("Task {} not found.", id.str()));
    } catch (const Error& error) {
      tell(error.fact());
    } catch (const std::exception& error) {
      tell("Internal server error during task lookup.");
    }
  }

  void dial(const TaskPlace& place) {
    if (!socket_) return;
    wish_->make(place.node.description.hostname, [&](const std::string& stream) { place.node.link->open_forward(stream, place.id, place.attempt); },
                [self = shared_from_this()](std::shared_ptr<net::WebSocket> stream) { self->arrived(std::move(stream)); }, [self = shared_from_this()](const std::string& why) { self->refuse(why); });
  }

  void arrived(std::shared_ptr<net::WebSocket> stream) {
    // What answers is in the user's hands, and might keep us waiting for ever.
    patience_.after(kServerPatience, [self = shared_from_this()] { self->refuse("The SSH server does not answer."); });
    services_.guests.add(token_id_, stream, [](net::WebSocket& cut) { cut.close(1008, "the token of this connection is not valid any more"); });
    tunnel_ = std::make_shared<tunnel::Tunnel>(tunnel::make_link(std::move(stream)));
    tunnel::Mux::Requests requests;
    requests.greeted = [self = shared_from_this()] { self->connect(); };
    tunnel_->start({.side = tunnel::Mux::Side::asks, .greeting = tunnel::Mux::Greeting::first}, std::move(requests), [self = shared_from_this()](const std::string& why) {
      boost::asio::post(self->services_.loop, [tunnel = std::exchange(self->tunnel_, nullptr)] {});  // it is still telling
      self->refuse(why);
    });
  }

  void connect() {
    if (!socket_ || !tunnel_) return;
    os::UniqueFd fd(::fcntl(socket_->fd(), F_DUPFD_CLOEXEC, 3));
    const int yes = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    tunnel::Mux& mux = tunnel_->mux();
    tunnel::splice_socket(services_.loop, mux, std::move(fd), [&](tunnel::StreamEvents events) {
      // The socket is ours until the server has answered, and the splice's from then on.
      events.opened = [self = shared_from_this(), then = std::move(events.opened)] {
        self->patience_.cancel();
        self->say("SUCCESS\n");
        self->socket_.reset();
        then();
      };
      events.closed = [self = shared_from_this(), then = std::move(events.closed)](const std::string& why) { self->socket_ ? self->refuse(why) : then(why); };
      return mux.open(tunnel::Proto::tcp, kSshPort, std::move(events));
    });
    closes_with_stream();
  }

  // A tunnel of one stream: it goes when that has gone.
  void closes_with_stream() {
    ending_.emplace(services_.loop);
    ending_->after(std::chrono::seconds(1), [self = shared_from_this()] {
      if (!self->tunnel_) return;
      if (self->tunnel_->mux().streams() > 0) return self->closes_with_stream();
      std::exchange(self->tunnel_, nullptr)->close("");
    });
  }

  void say(const std::string& text) {
    if (socket_) [[maybe_unused]] const auto ignored = ::send(socket_->fd(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void refuse(const std::string& why) {
    if (!socket_) return;
    std::string line = printable(why, 400);
    say("ERROR " + line + "\n");
    over();
  }

  void over() {
    patience_.cancel();
    wish_->forget();
    socket_.reset();
    if (const auto tunnel = std::exchange(tunnel_, nullptr)) boost::asio::post(services_.loop, [tunnel] { tunnel->close(""); });
  }

  Services& services_;
  const std::shared_ptr<void> counted_;
  const std::string address_;
  std::optional<tunnel::Socket> socket_;  // none: it is the splice's, or over
  tunnel::Timer patience_;
  std::optional<tunnel::Timer> ending_;
  const std::shared_ptr<StreamWish> wish_;
  std::shared_ptr<tunnel::Tunnel> tunnel_;
  std::string line_, token_id_;
};

}  // namespace

void SshProxy::Core::start() {
  acceptor.emplace(services.loop, std::move(socket), [weak = weak_from_this()](os::UniqueFd fd) {
    const auto self = weak.lock();
    if (!self || self->connections >= kMaxConnections) return;
    ++self->connections;
    std::shared_ptr<void> counted(nullptr, [weak](void*) {
      if (const auto core = weak.lock()) --core->connections;
    });
    std::make_shared<ProxyClient>(self->services, std::move(fd), std::move(counted))->start();
  });
}

SshProxy::SshProxy(Services& services, const std::string& address, std::uint16_t port) : core_(std::make_shared<Core>(services, address, port)) { core_->start(); }

SshProxy::~SshProxy() = default;

}  // namespace riverbox::api
