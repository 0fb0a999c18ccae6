// A container once more, from another image. What GET /containers/{id}/json says is what POST /containers/create takes, with exceptions.
#include <algorithm>

#include "base/strings.hpp"
#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

using nlohmann::json;

namespace {

bool is_mounted(const json& host, const std::string& target) {
  for (auto& bind : texts(field(host, "Binds"))) {
    auto parts = split(bind, ':');
    if (parts.size() >= 2 && parts[1] == target) return true;
  }
  auto& mounts = field(host, "Mounts");
  return mounts.is_array() && std::any_of(mounts.begin(), mounts.end(), [&](auto& mount) { return text(mount, "Target") == target; });
}

// A volume that an image's VOLUME line made has only a random name; the clone would get a new, empty one.
template <class Take>
void for_anonymous_volumes(const json& container, Take take) {
  auto& mounts = field(container, "Mounts");
  if (!mounts.is_array()) return;
  for (auto& mount : mounts) {
    auto name = text(mount, "Name"), target = text(mount, "Destination");
    if (text(mount, "Type") == "volume" && !name.empty() && !is_mounted(field(container, "HostConfig"), target)) take(name, target, flag(mount, "RW"));
  }
}

void keep_volumes(const json& container, json& host) {
  for_anonymous_volumes(container, [&](const std::string& name, const std::string& target, bool writable) {
    if (!field(host, "Binds").is_array()) host["Binds"] = json::array();
    host["Binds"].push_back(name + ":" + target + (writable ? "" : ":ro"));
  });
}

// What a user chose about a network; the rest is what the daemon made of it.
json endpoint_of(const json& network, const std::string& short_id) {
  json endpoint = json::object();
  for (const char* key : {"IPAMConfig", "Links", "DriverOpts"})
    if (auto& value = field(network, key); !value.is_null()) endpoint[key] = value;
  json aliases = json::array();
  for (auto& alias : texts(field(network, "Aliases")))
    if (alias != short_id) aliases.push_back(alias);
  if (!aliases.empty()) endpoint["Aliases"] = aliases;
  return endpoint;
}

json clone_body(const Container& from, const std::string& image_id, const Naming::Labels& more_labels) {
  const json& container = *from.raw;
  json body = field(container, "Config"), host = field(container, "HostConfig");
  if (!body.is_object() || !host.is_object()) throw DockerError("cannot clone container '" + from.name + "': the Docker daemon's answer has no Config");
  const std::string short_id = from.id.substr(0, 12);
  if (text(body, "Hostname") == short_id) body.erase("Hostname");  // a clone has its own
  body.erase("MacAddress");
  if (field(body, "Entrypoint").is_null()) body["Entrypoint"] = json::array();  // null would be the image's
  for (auto& [key, value] : more_labels) body["Labels"][key] = value;
  body["Image"] = image_id;
  host.erase("ContainerIDFile");
  keep_volumes(container, host);
  // Engines before 25 take one network at creation; the others are joined afterwards.
  auto mode = text(host, "NetworkMode");
  if (auto& network = field(field(field(container, "NetworkSettings"), "Networks"), mode.c_str()); network.is_object() && mode != "default" && mode != "bridge")
    body["NetworkingConfig"] = {{"EndpointsConfig", {{mode, endpoint_of(network, short_id)}}}};
  body["HostConfig"] = std::move(host);
  return body;
}

}  // namespace

std::string Engine::clone_container(const Container& from, const std::string& name, const std::string& image_id, const Naming::Labels& more_labels) {
  Call call;
  call.topic = Topic::create;
  call.request.action = "create container '" + name + "'";
  call.request.method = "POST";
  call.request.path = "/containers/create" + query({{"name", name}});
  call.request.body = clone_body(from, image_id, more_labels).dump(-1, ' ', false, json::error_handler_t::replace);
  call.request.silence = std::chrono::seconds(120);
  auto id = text(impl_->api.ask(std::move(call)), "Id");
  if (id.empty()) throw ContainerCreationError("cannot create container '" + name + "': the Docker daemon's answer has no Id");
  auto& networks = field(field(*from.raw, "NetworkSettings"), "Networks");
  const auto mode = text(field(*from.raw, "HostConfig"), "NetworkMode");
  if (!networks.is_object()) return id;
  for (auto& [network, settings] : networks.items()) {
    if (network == mode || (network == "bridge" && mode == "default")) continue;
    Call join;
    join.topic = Topic::container;
    join.request.action = "connect container '" + name + "' to network '" + network + "'";
    join.request.method = "POST";
    join.request.path = "/networks/" + path_segment(network, "network name") + "/connect";
    join.request.body = json{{"Container", id}, {"EndpointConfig", endpoint_of(settings, from.id.substr(0, 12))}}.dump();
    try {
      impl_->api.send(std::move(join));
    } catch (const DockerError&) {
      remove_container(id, true, true);
      throw;
    }
  }
  return id;
}

std::vector<std::string> Engine::anonymous_volumes(const Container& container) {
  std::vector<std::string> names;
  for_anonymous_volumes(*container.raw, [&](const std::string& name, const std::string&, bool) { names.push_back(name); });
  return names;
}

std::vector<Mount> Engine::volumes(const Container& container) {
  std::vector<Mount> found;
  auto& mounts = field(*container.raw, "Mounts");
  if (!mounts.is_array()) return found;
  for (auto& mount : mounts)
    if (text(mount, "Type") == "volume" && !text(mount, "Name").empty()) found.push_back({text(mount, "Name"), text(mount, "Destination"), !flag(mount, "RW")});
  return found;
}

void Engine::remove_volume(const std::string& name) {
  Call call;
  call.topic = Topic::container;
  call.request.action = "remove volume '" + name + "'";
  call.request.method = "DELETE";
  call.request.path = "/volumes/" + path_segment(name, "volume name");
  try {
    impl_->api.send(std::move(call));
  } catch (const ContainerNotFoundError&) {
  }
}

void Engine::rename_container(const std::string& id_or_name, const std::string& new_name) {
  path_segment(new_name, "container name");
  impl_->api.send(container_call("rename", id_or_name, "POST", "/rename" + query({{"name", new_name}})));
}

}  // namespace riverbox::docker
