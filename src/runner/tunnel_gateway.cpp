#include "runner/tunnel_gateway.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "tunnel/frames.hpp"

namespace riverbox::runner {

namespace {

constexpr std::string_view kPath = "/ws/tunnel/";

net::ServerOptions options_for(const std::string& place) {
  const size_t colon = place.rfind(':');
  const auto port = colon == std::string::npos ? std::nullopt : parse_u64(place.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) throw InvalidInput("[runner] tunnel_gateway = \"" + printable(place) + "\" is no ADDRESS:PORT", "Such as 172.17.0.1:8001; the address is that of the node in the network of the containers.");
  std::string address = place.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  return {.bind_address = address, .port = static_cast<std::uint16_t>(*port), .max_body_bytes = 0, .max_connections = 1024};
}

// "172.17.0.2:51234", "[fd00::2]:51234" without the port.
std::string host_of(std::string remote) {
  remote.resize(std::min(remote.size(), remote.rfind(':')));
  return remote.starts_with('[') && remote.ends_with(']') ? remote.substr(1, remote.size() - 2) : remote;
}

// The container waits for an answer to its connection; this is one.
void send_away(const std::shared_ptr<net::WebSocket>& socket, const std::string& why) {
  socket->start({.message = [](std::string_view, bool) {}, .closed = [](std::uint16_t, std::string_view) {}, .drained = [] {}});
  socket->close(1008, why);
}

}  // namespace

bool has_address(const nlohmann::json& raw, const std::string& address) {
  static const nlohmann::json::json_pointer kNetworks("/NetworkSettings/Networks");
  if (address.empty() || !raw.contains(kNetworks) || !raw[kNetworks].is_object()) return false;
  for (const auto& network : raw[kNetworks])
    for (const char* key : {"IPAddress", "GlobalIPv6Address"})
      if (network.is_object() && network.contains(key) && network[key] == address) return true;
  return false;
}

TunnelGateway::TunnelGateway(boost::asio::io_context& loop, const std::string& place, docker::Engine& engine, Doors& doors)
    : loop_(loop), engine_(engine), doors_(doors),
      server_(loop, options_for(place), {.http = [](net::Request, std::shared_ptr<net::Responder> responder) { responder->send(net::error_response(404, "Not Found")); },
                                         .upgrade = [this](const net::Request& request) { return upgrade(request); }}) {
  log::info("tunnel", "containers may come over TCP", {{"address", place}});
}

std::variant<net::Response, net::Accept> TunnelGateway::upgrade(const net::Request& request) {
  if (!request.path.starts_with(kPath)) return net::error_response(404, "Not Found");
  const auto container = percent_decoded(request.path.substr(kPath.size()));
  if (!container || !tunnel::Gate::is_name(*container)) return net::error_response(400, "that is not the name of a container");
  const auto* offered = request.header("sec-websocket-protocol");
  const bool ours = offered && offered->find(tunnel::kSubprotocol) != std::string::npos;
  return net::Accept{ours ? std::string(tunnel::kSubprotocol) : "", [this, container = *container, from = host_of(request.remote_address), ours](std::shared_ptr<net::WebSocket> socket) {
                       let_in(container, from, ours, std::move(socket));
                     }};
}

void TunnelGateway::let_in(const std::string& container, const std::string& from, bool ours, std::shared_ptr<net::WebSocket> socket) {
  const bool posted = workers_.post([this, container, from, ours, socket] {
    bool is_it = false;
    try {
      is_it = has_address(*engine_.inspect_container(container).raw, from);
    } catch (const std::exception& error) {
      log::warning("tunnel", "cannot tell who comes over TCP", {{"container", container}, {"from", from}, {"reason", error.what()}});
    }
    boost::asio::post(loop_, [this, container, from, ours, socket, is_it] {
      if (!is_it) {
        log::warning("audit", "a tunnel that claims to be of another container was refused", {{"container", container}, {"from", from}});
        return send_away(socket, "you are not that container");
      }
      try {
        doors_.gate().adopt(container, tunnel::make_link(socket), ours ? tunnel::Mux::Greeting::first : tunnel::Mux::Greeting::never);
      } catch (const Error& error) {
        send_away(socket, error.fact());
      }
    });
  });
  if (!posted) send_away(socket, "the runner is busy");
}

}  // namespace riverbox::runner
