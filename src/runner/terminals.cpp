#include "runner/terminals.hpp"

#include "base/log.hpp"
#include "terminal/relay.hpp"

namespace riverbox::runner {

void Terminals::open(OpenTerminal wanted) {
  if (stopped_) return;
  auto request = stream_request(target_, wanted.stream);
  net::connect_websocket(loop_, std::move(request), [weak = weak_from_this(), wanted = std::move(wanted)](net::WebSocketResult result) {
    const log::Scope scope("task", wanted.attempt.str());
    if (!result.socket) return log::warning("runner", "cannot open a terminal in a task", {{"reason", result.error}});
    if (const auto self = weak.lock(); self && !self->stopped_) return self->serve(std::move(result.socket), wanted);
    result.socket->close(1001, "the runner stops");
  });
}

void Terminals::serve(std::shared_ptr<net::WebSocket> socket, OpenTerminal wanted) {
  std::erase_if(sockets_, [](const auto& old) { return old.expired(); });
  sockets_.push_back(socket);
  log::info("runner", "a terminal is opened in a task");
  terminal::Opener opener = [&executor = executor_, attempt = wanted.attempt](const terminal::OpenRequest& request) { return executor.open_shell(attempt, request); };
  if (wanted.options.session)
    opener = [shared = shared_, attempt = wanted.attempt, wish = *wanted.options.session, opener](const terminal::OpenRequest& request) { return shared->join(attempt.str(), request, wish, opener); };
  terminal::start_relay(loop_, workers_, std::move(socket), std::move(opener), std::move(wanted.options));
}

void Terminals::stop() {
  stopped_ = true;
  for (const auto& weak : sockets_)
    if (const auto socket = weak.lock()) socket->close(1001, "the runner stops");
  shared_->stop();
}

}  // namespace riverbox::runner
