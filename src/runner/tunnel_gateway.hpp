// Tunnels that come over TCP, where no socket can be mounted into containers: the reference's way, ws://GATEWAY/ws/tunnel/CONTAINER. Which container comes is not believed but looked up:
// the connection must come from an address that the engine has given to it. Loop thread, but for the question to the engine.
#pragma once
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "docker/engine.hpp"
#include "net/server.hpp"
#include "os/worker_pool.hpp"
#include "runner/doors.hpp"

namespace riverbox::runner {

// The addresses of a container in its networks; of one that shares its node's, none. Pure. `raw` is the engine's answer to an inspection.
bool has_address(const nlohmann::json& raw, const std::string& address);

class TunnelGateway {
public:
  // Listens. `place` is ADDRESS:PORT. Throws InvalidInput, Unavailable. The others must outlive it.
  TunnelGateway(boost::asio::io_context& loop, const std::string& place, docker::Engine& engine, Doors& doors);
  void stop() { server_.stop(); }

private:
  std::variant<net::Response, net::Accept> upgrade(const net::Request& request);
  void let_in(const std::string& container, const std::string& from, bool ours, std::shared_ptr<net::WebSocket> socket);

  boost::asio::io_context& loop_;
  docker::Engine& engine_;
  Doors& doors_;
  net::Server server_;
  os::WorkerPool workers_{"gateway", 2};  // last: it works with the others
};

}  // namespace riverbox::runner
