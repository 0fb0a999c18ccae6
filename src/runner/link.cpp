#include "runner/link.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/url.hpp"

namespace riverbox::runner {
namespace {

constexpr auto kWelcomeTimeout = std::chrono::seconds(10);
constexpr auto kRefusedPause = std::chrono::seconds(5);
constexpr int kUnanswered = 6;  // beats without an answer: a network that drops what is sent breaks no connection

}  // namespace

Link::Link(boost::asio::io_context& loop, std::string host_url, std::string token, Handlers handlers)
    : loop_(loop), host_url_(std::move(host_url)), shown_host_(net::shown_host(host_url_)), token_(std::move(token)), handlers_(std::move(handlers)), timer_(loop) {}

void Link::start() { dial(); }

void Link::stop() {
  if (stopped_) return;
  stopped_ = true;
  up_ = false;
  timer_.cancel();
  if (auto socket = std::exchange(socket_, nullptr)) socket->close(1001, "the runner stops");
}

void Link::say(bool problem, const std::string& text) {
  if (text == last_said_) return;
  last_said_ = text;
  log::write(problem ? log::Level::warning : log::Level::info, "runner", text);
}

void Link::after(std::chrono::milliseconds delay, void (Link::*what)()) {
  timer_.expires_after(delay);  // cancels what waited before
  timer_.async_wait([weak = weak_from_this(), what](boost::system::error_code error) {
    auto self = weak.lock();
    if (self && !error && !self->stopped_) (self.get()->*what)();
  });
}

// ---- dialling

void Link::dial() {
  ++generation_;
  refused_ = false;
  net::WebSocketRequest request;
  request.url = net::at_host(host_url_, "/api/runner/link");
  request.subprotocols = {"riverbox.link.v1"};
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_);
  net::connect_websocket(loop_, std::move(request), [weak = weak_from_this()](net::WebSocketResult result) {
    auto self = weak.lock();
    if (!self || self->stopped_) {
      if (result.socket) result.socket->close(1001, "the runner stops");
      return;
    }
    self->dialled(std::move(result));
  });
}

void Link::dialled(net::WebSocketResult result) {
  if (!result.socket) return refused_upgrade(result);
  socket_ = std::move(result.socket);
  auto generation = generation_;
  auto weak = weak_from_this();
  net::WebSocket::Events events;
  events.message = [weak, generation](std::string_view data, bool binary) {
    auto self = weak.lock();
    if (self && !self->stopped_ && self->generation_ == generation && !binary) self->received(data);
  };
  events.closed = [weak, generation](std::uint16_t, std::string_view reason) {
    auto self = weak.lock();
    if (self && !self->stopped_ && self->generation_ == generation) self->closed(reason);
  };
  events.drained = [] {};
  socket_->start(std::move(events));
  socket_->send(handlers_.hello(), false);
  after(kWelcomeTimeout, &Link::give_up_on_welcome);
}

void Link::refused_upgrade(const net::WebSocketResult& result) {
  if (result.http_status == 401 || result.http_status == 403 || result.http_status == 429) {
    say(true, fmt::format("the host at {} refuses this runner ({}: {}): its token is not known there, or not a runner's. Let it join: on the host, `riverbox node join-command` "
                          "prints the command. Trying again every 5 s",
                          shown_host_, result.http_status, printable(result.error)));
    return retry_after(kRefusedPause);
  }
  if (result.http_status != 0)
    say(true, fmt::format("{} answers, but not as a riverbox host ({}: {}); trying again", shown_host_, result.http_status, printable(result.error)));
  else
    say(true, fmt::format("cannot reach the host at {}: {}; trying again for ever, tasks go on meanwhile", shown_host_, printable(result.error)));
  retry_after(backoff_.next());
}

void Link::give_up_on_welcome() { hang_up(fmt::format("did not greet back within {} s", kWelcomeTimeout.count())); }

void Link::hang_up(const std::string& why) {
  say(true, fmt::format("the host at {} {}; dialling again", shown_host_, why));
  up_ = false;
  auto socket = std::exchange(socket_, nullptr);
  ++generation_;  // what this socket still says is not for us
  if (socket) socket->close(1002, why);
  retry_after(backoff_.next());
}

void Link::retry_after(std::chrono::milliseconds delay) { after(delay, &Link::dial); }

void Link::closed(std::string_view reason) {
  bool was_up = std::exchange(up_, false);
  socket_ = nullptr;
  if (refused_) return retry_after(kRefusedPause);
  if (was_up)
    say(true, fmt::format("the link to {} broke{}{}; reconnecting, tasks go on meanwhile", shown_host_, reason.empty() ? "" : ": ",
                          printable(reason)));
  else
    say(true, fmt::format("{} closed the link before it greeted back{}{}; trying again", shown_host_, reason.empty() ? "" : ": ", printable(reason)));
  retry_after(backoff_.next());
}

// ---- talking

void Link::send(std::uint64_t generation, std::string message) {
  if (up_ && generation == generation_ && socket_) socket_->send(std::move(message), false);
}

void Link::received(std::string_view text) {
  std::optional<HostMessage> message;
  std::string type;
  try {
    message = parse_host_message(text, &type);
  } catch (const Error& error) {
    log::warning("runner", "a message of the host is ignored", {{"reason", error.fact()}});
    return;
  }
  if (!message) {
    log::warning("runner", "a message of the host is ignored: this version does not know it", {{"type", type}});
    return;
  }
  if (auto* welcome = std::get_if<Welcome>(&*message)) return welcomed(*welcome);
  if (auto* refused = std::get_if<Refused>(&*message)) {
    refused_ = true;
    say(true, fmt::format("the host at {} refuses this runner: {}. Trying again every 5 s", shown_host_, printable(refused->message)));
    return;
  }
  if (!up_) return;
  if (std::holds_alternative<Heard>(*message)) answers_ = true, unanswered_ = 0;
  handlers_.message(std::move(*message));
}

void Link::welcomed(const Welcome& welcome) {
  if (up_) return;  // once per link
  up_ = true;
  answers_ = false;
  unanswered_ = 0;
  backoff_.reset();
  interval_ = welcome.heartbeat_interval;
  say(false, fmt::format("connected to {}", shown_host_));
  if (!welcome.shared_dir.empty() && welcome.shared_dir != handlers_.shared_dir)
    log::info("runner", "the share has another path here than on the host, which is fine if it is the same folder",
              {{"host", welcome.shared_dir}, {"runner", handlers_.shared_dir}});
  handlers_.up(generation_);
  beat();
}

// The first beat goes out with the welcome; nothing that blocks is between two beats.
void Link::beat() {
  if (!up_) return;
  if (answers_ && ++unanswered_ > kUnanswered) return hang_up("does not answer any more; tasks go on meanwhile");
  send(handlers_.heartbeat());
  after(interval_, &Link::beat);
}

}  // namespace riverbox::runner
