#include "tunnel/user_session.hpp"

#include <algorithm>
#include <utility>

#include "base/strings.hpp"
#include "net/websocket.hpp"

namespace riverbox::tunnel {

namespace {

constexpr std::chrono::milliseconds kFirstDelay{200}, kLongestDelay{5000};
constexpr std::string_view kError = "Error: ";

// The host is there and has decided; a proxy before it that says 502 has not.
bool is_final(int http_status) { return http_status >= 400 && http_status < 500 && http_status != 408 && http_status != 429; }

}  // namespace

void UserSession::start(Events events) {
  events_ = std::move(events);
  dial();
}

void UserSession::stop() {
  stopped_ = true;
  timer_.cancel();
  events_ = {};
  if (const auto tunnel = std::exchange(tunnel_, nullptr)) tunnel->close("");
}

void UserSession::dial() {
  if (stopped_) return;
  error_.clear();
  net::WebSocketRequest request;
  request.url = url_;
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_);
  request.subprotocols.emplace_back(kSubprotocol);
  net::connect_websocket(loop_, std::move(request), [self = shared_from_this()](net::WebSocketResult result) {
    if (self->stopped_) return result.socket ? result.socket->close(1001, "") : void();
    if (result.socket) return self->begin(std::move(result.socket));
    if (is_final(result.http_status)) return self->refuse(result.http_status, result.error);
    self->lost(result.error);
  });
}

void UserSession::begin(std::shared_ptr<net::WebSocket> socket) {
  tunnel_ = std::make_shared<Tunnel>(make_link(std::move(socket)));
  tunnel_->on_text = [self = shared_from_this()](std::string_view text) {
    if (text.starts_with(kError)) self->error_ = text.substr(kError.size());
  };
  Mux::Requests requests;
  requests.greeted = [self = shared_from_this()] {
    self->up_ = self->was_up_ = true;
    self->delay_ = {};
    if (const auto up = self->events_.up) up();
  };
  tunnel_->start({.side = Mux::Side::asks, .greeting = Mux::Greeting::first}, std::move(requests), [self = shared_from_this()](const std::string& why) { self->lost(why); });
}

void UserSession::lost(const std::string& why) {
  up_ = false;
  if (const auto tunnel = std::exchange(tunnel_, nullptr)) call_later(loop_, [tunnel] {});  // it is still telling
  if (!error_.empty() && (!was_up_ || why == kGone)) return refuse(0, error_);
  delay_ = std::clamp(delay_ * 2, kFirstDelay, kLongestDelay);
  timer_.after(delay_, [self = shared_from_this()] { self->dial(); });
  if (const auto down = events_.down) down(error_.empty() ? why : error_);
}

void UserSession::refuse(int http_status, const std::string& why) {
  stopped_ = true;
  if (const auto refused = std::exchange(events_, {}).refused) refused(http_status, why);
}

}  // namespace riverbox::tunnel
