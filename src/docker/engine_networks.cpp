// Networks that containers join.
#include <optional>

#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

using nlohmann::json;

namespace {

Call network_call(const char* verb, const std::string& name, const char* method, const std::string& path) {
  Call call;
  call.request.action = std::string(verb) + " network '" + name + "'";
  call.request.method = method;
  call.request.path = path;
  return call;
}

std::optional<json> find_network(Api& api, const std::string& name) {
  try {
    return api.ask(network_call("inspect", name, "GET", "/networks/" + path_segment(name, "network name")));
  } catch (const DockerError& error) {
    if (error.kind() == ErrorKind::not_found) return std::nullopt;
    throw;
  }
}

// What the administrator has set for the default bridge (daemon.json: mtu, icc, ip-masq), which a new network does not inherit.
constexpr const char* kInherited[] = {"com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc", "com.docker.network.bridge.enable_ip_masquerade"};

json inherited(const json& bridge) {
  json options = json::object();
  for (const char* option : kInherited)
    if (const std::string value = text(field(bridge, "Options"), option); !value.empty()) options[option] = value;
  return options;
}

}  // namespace

bool Engine::has_network(const std::string& name) { return find_network(impl_->api, name).has_value(); }

void Engine::create_bridge_network(const std::string& name, const std::string& subnet, const Naming::Labels& labels) {
  auto call = network_call("create", name, "POST", "/networks/create");
  // Engines before 25 would make a second one of the same name.
  json body = {{"Name", name}, {"Driver", "bridge"}, {"CheckDuplicate", true}, {"Labels", labels}};
  if (const auto bridge = find_network(impl_->api, "bridge")) body["Options"] = inherited(*bridge);
  if (!subnet.empty()) body["IPAM"] = {{"Config", {{{"Subnet", subnet}}}}};
  call.request.body = body.dump();
  impl_->api.send(std::move(call));
}

}  // namespace riverbox::docker
