// Introduces a stream that a runner dials, with output or a terminal, to whoever asked for it. Loop thread only.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/strings.hpp"
#include "net/websocket.hpp"

namespace riverbox::api {

class StreamBroker {
public:
  using Arrival = std::function<void(std::shared_ptr<net::WebSocket>)>;
  // The name of a stream that may arrive once; unguessable.
  std::string expect(Arrival arrival) {
    auto id = random_hex(16);
    waiting_.emplace(id, std::move(arrival));
    return id;
  }
  void forget(const std::string& id) { waiting_.erase(id); }
  // Empty: nobody waits for this stream (any more).
  Arrival take(const std::string& id) {
    auto node = waiting_.extract(id);
    return node ? std::move(node.mapped()) : Arrival{};
  }

private:
  std::map<std::string, Arrival> waiting_;
};

}  // namespace riverbox::api
