#include "tunnel/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/unix_socket.hpp"
#include "tunnel/socket.hpp"
#include "tunnel/splice.hpp"

namespace riverbox::tunnel {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay(100);
constexpr milliseconds kDismissedDelay(30000);  // another client of the container was preferred: the two shall not chase each other away

// A runner that comes back is not dialled by all its containers in the same moment.
milliseconds spread(milliseconds delay) {
  static std::minstd_rand random(std::random_device{}());
  return delay * (80 + static_cast<long>(random() % 41)) / 100;
}

}  // namespace

Client::Client(boost::asio::io_context& loop, ClientOptions options) : loop_(loop), options_(std::move(options)), timer_(loop), delay_(kFirstDelay) {}

void Client::start(std::function<void()> given_up) {
  given_up_ = std::move(given_up);
  dial();
}

void Client::stop() {
  if (std::exchange(stopped_, true)) return;
  *alive_ = false;
  timer_.cancel();
  listeners_.clear();
  if (tunnel_) std::exchange(tunnel_, nullptr)->close("the tunnel-client was stopped");
}

void Client::dial() {
  if (stopped_) return;
  if (options_.socket.empty()) return dial_websocket();
  std::shared_ptr<Link> link;
  try {
    link = make_link(loop_, os::connect_unix(options_.socket));
  } catch (const Error& error) {
    return lost(error.what());
  }
  begin(std::move(link), Mux::Greeting::first);
}

void Client::dial_websocket() {
  net::WebSocketRequest request;
  request.url = options_.runner_url + "/ws/tunnel/" + percent_encoded(options_.container_id);
  request.subprotocols = {std::string(kSubprotocol)};
  net::connect_websocket(loop_, std::move(request), [this, alive = alive_](const net::WebSocketResult& result) {
    if (!*alive) return;
    if (!result.socket) return lost(result.error);
    begin(make_link(result.socket), Mux::Greeting::answer);
  });
}

void Client::begin(std::shared_ptr<Link> link, Mux::Greeting greeting) {
  dismissed_ = false;
  const auto tunnel = std::make_shared<Tunnel>(std::move(link));
  tunnel_ = tunnel;
  Mux::Requests requests;
  requests.connect = [this](StreamId id, Proto proto, std::uint16_t port) { return splice_to_port(loop_, tunnel_->mux(), id, proto, port); };
  requests.listen = [this](StreamId listener, Proto, std::uint16_t port) { listen(listener, port); };
  requests.unlisten = [this](StreamId listener) { listeners_.erase(listener); };
  requests.greeted = [this] {
    failures_ = 0;
    delay_ = kFirstDelay;
    log::info("tunnel", "the runner answers", {{"dialect", tunnel_->mux().classic() ? "classic" : std::string(kSubprotocol)}});
  };
  requests.farewell = [this](const std::string& why) {
    dismissed_ = true;
    log::warning("tunnel", "the runner does not want this tunnel any more", {{"reason", why}});
  };
  tunnel->start({.side = Mux::Side::serves, .greeting = greeting}, std::move(requests), [this](const std::string& why) { lost(why); });
}

void Client::lost(const std::string& why) {
  listeners_.clear();
  tunnel_.reset();
  if (stopped_) return;
  ++failures_;
  // One line for each time that the runner is away, not for each try.
  log::write(failures_ == 1 ? log::Level::warning : log::Level::debug, "tunnel", "no tunnel to the runner, trying again", {{"reason", why}});
  if (options_.max_reconnect > 0 && failures_ > options_.max_reconnect) {
    log::error("tunnel", "given up", {{"tries", std::to_string(options_.max_reconnect)}, {"reason", why}});
    return given_up_();
  }
  const milliseconds delay = std::exchange(dismissed_, false) ? std::max(kDismissedDelay, options_.reconnect_delay) : spread(std::min(delay_, options_.reconnect_delay));
  delay_ = std::min(delay_ * 2, options_.reconnect_delay);
  timer_.after(delay, [this, alive = alive_] {
    if (*alive) dial();
  });
}

void Client::listen(StreamId listener, std::uint16_t port) {
  Mux& mux = tunnel_->mux();
  try {
    std::uint16_t chosen = 0;
    os::UniqueFd socket = listen_loopback(port, chosen);
    listeners_.try_emplace(listener, loop_, std::move(socket), [this, listener, chosen](os::UniqueFd accepted) {
      Mux& carrier = tunnel_->mux();
      splice_socket(loop_, carrier, std::move(accepted), [&](StreamEvents events) { return carrier.accept(listener, chosen, std::move(events)); });
    });
    mux.listening(listener, chosen);
  } catch (const Error& error) {
    mux.refuse(listener, error.what());
  }
}

}  // namespace riverbox::tunnel
