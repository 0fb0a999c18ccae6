#include "tunnel/tunnel.hpp"

#include <utility>

namespace riverbox::tunnel {

// The link holds the tunnel for as long as it is open.
void Tunnel::start(Mux::Options options, Mux::Requests requests, Closed closed) {
  closed_ = std::move(closed);
  requests.may_read = [this](bool may) { link_->may_read(may); };
  mux_ = std::make_unique<Mux>(options, Mux::Link{[this](const Message& message) { link_->send(message); }, [this] { return link_->queued_bytes(); }}, std::move(requests));
  const auto self = shared_from_this();
  link_->start({.message = [self](std::string_view bytes) { self->mux_->receive(bytes); },
                .drained = [self] { self->mux_->drained(); },
                .closed = [self](const std::string& why) { self->lost(why); },
                .text = [self](std::string_view text) { if (self->on_text) self->on_text(text); }});
  mux_->start();
}

void Tunnel::close(const std::string& why) {
  const auto self = shared_from_this();
  closed_ = nullptr;
  link_->close(why);
  mux_->lost(why);
}

void Tunnel::dismiss(const std::string& why) {
  mux_->farewell(why);
  close(why);
}

void Tunnel::lost(const std::string& why) {
  mux_->lost("the tunnel was lost: " + why);
  if (const auto closed = std::exchange(closed_, nullptr)) closed(why);
}

}  // namespace riverbox::tunnel
