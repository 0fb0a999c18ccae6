// Containers: list, inspect, create, the state changes, remove.
#include <thread>

#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Naming::Labels labels_of(const json& object) {
  Naming::Labels labels;
  auto& value = field(object, "Labels");
  if (value.is_object())
    for (auto& [key, label] : value.items()) labels[key] = label.is_string() ? label.get<std::string>() : "";
  return labels;
}

// A container that others link to has more than one name; the own one has no further slash.
std::string own_name(const json& summary) {
  std::string first;
  for (auto& name : texts(field(summary, "Names"))) {
    auto bare = bare_name(name);
    if (bare.find('/') == bare.npos) return bare;
    if (first.empty()) first = bare;
  }
  return first;
}

// Both are left out where they are 0, and negative where the daemon does not know.
std::optional<std::uint64_t> changed_bytes_of(const json& summary) {
  const auto changed = number(summary, "SizeRw"), whole = number(summary, "SizeRootFs");
  if (changed < 0 || whole < 0 || (changed == 0 && whole == 0)) return std::nullopt;
  return static_cast<std::uint64_t>(changed);
}

json host_config(const ContainerSpec& spec) {
  json host = json::object();
  for (auto& mount : spec.mounts) {
    // A bind of a missing folder is refused; the older "Binds" would create it, owned by root.
    host["Mounts"].push_back({{"Type", mount.source.starts_with('/') ? "bind" : "volume"},
                              {"Source", mount.source},
                              {"Target", mount.target},
                              {"ReadOnly", mount.read_only}});
  }
  if (!spec.cap_add.empty()) host["CapAdd"] = spec.cap_add;
  if (!spec.network.empty()) host["NetworkMode"] = spec.network;
  if (!spec.cpuset_cpus.empty()) host["CpusetCpus"] = spec.cpuset_cpus;
  if (!spec.cpuset_mems.empty()) host["CpusetMems"] = spec.cpuset_mems;
  if (!spec.log_driver.empty()) host["LogConfig"] = {{"Type", spec.log_driver}, {"Config", spec.log_options}};
  if (spec.cpus > 0) host["NanoCpus"] = static_cast<std::int64_t>(spec.cpus * 1e9);
  if (spec.memory_bytes > 0) host["Memory"] = spec.memory_bytes;
  if (spec.pids_limit > 0) host["PidsLimit"] = spec.pids_limit;
  if (spec.privileged) host["Privileged"] = true;
  if (spec.init) host["Init"] = true;
  if (!spec.restart_policy.empty()) host["RestartPolicy"] = {{"Name", spec.restart_policy}};
  if (spec.auto_remove) host["AutoRemove"] = true;
  if (!spec.gpus.empty()) {
    json ids = json::array();
    for (int id : spec.gpus) ids.push_back(std::to_string(id));
    host["DeviceRequests"] = {{{"Driver", ""}, {"DeviceIDs", ids}, {"Capabilities", {{"gpu"}}}}};
  }
  return host;
}

json create_body(const ContainerSpec& spec) {
  json body = {{"Image", spec.image}, {"Labels", spec.labels}, {"Tty", spec.tty}, {"OpenStdin", spec.open_stdin}};
  if (spec.entrypoint) body["Entrypoint"] = *spec.entrypoint;
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  if (!spec.env.empty()) body["Env"] = spec.env;
  if (!spec.user.empty()) body["User"] = spec.user;
  if (!spec.working_dir.empty()) body["WorkingDir"] = spec.working_dir;
  if (!spec.hostname.empty()) body["Hostname"] = spec.hostname;
  if (!spec.stop_signal.empty()) body["StopSignal"] = spec.stop_signal;
  if (spec.stop_timeout) body["StopTimeout"] = spec.stop_timeout->count();
  body["HostConfig"] = host_config(spec);
  return body;
}

ContainerState parse_state(const json& answer) {
  ContainerState state;
  state.status = text(answer, "Status");
  state.running = flag(answer, "Running");
  state.paused = flag(answer, "Paused");
  state.oom_killed = flag(answer, "OOMKilled");
  state.exit_code = static_cast<int>(number(answer, "ExitCode"));
  state.error = text(answer, "Error");
  state.started_at = text(answer, "StartedAt");
  state.finished_at = text(answer, "FinishedAt");
  // The end is noted where it happens, the start a little later by the daemon: of one run in six of `true` the end came first.
  const bool ran = state.status == "exited" && !state.started_at.empty() && !state.finished_at.empty();
  if (ran && parse_rfc3339(state.finished_at) < parse_rfc3339(state.started_at)) state.finished_at = state.started_at;
  return state;
}

}  // namespace

Call container_call(const char* verb, const std::string& name, const char* method, const std::string& rest) {
  Call call;
  call.topic = Topic::container;
  call.request.action = std::string(verb) + " container '" + name + "'";
  call.request.method = method;
  call.request.path = "/containers/" + path_segment(name, "container name") + rest;
  return call;
}

Container parse_container(const json& answer) {
  Container container;
  container.id = text(answer, "Id");
  container.name = bare_name(text(answer, "Name"));
  container.image_id = text(answer, "Image");
  container.created = created_of(answer);
  auto& config = field(answer, "Config");
  container.image = text(config, "Image");
  container.labels = labels_of(config);
  container.state = parse_state(field(answer, "State"));
  container.raw = std::make_shared<json>(answer);
  return container;
}

std::vector<ContainerSummary> Engine::list_containers(const std::optional<std::string>& label_filter, bool sizes) {
  Call call;
  call.request.action = "list containers";
  call.request.path = "/containers/json?all=1";
  if (sizes) {
    call.request.path += "&size=1";
    call.request.silence = seconds(600);
  }
  if (label_filter) call.request.path += "&" + query({{"filters", json{{"label", {*label_filter}}}.dump()}}).substr(1);
  auto answer = impl_->api.ask(std::move(call));
  std::vector<ContainerSummary> result;
  if (!answer.is_array()) return result;
  for (auto& item : answer) {
    ContainerSummary summary;
    summary.id = text(item, "Id");
    summary.name = own_name(item);
    summary.image = text(item, "Image");
    summary.image_id = text(item, "ImageID");
    summary.status_text = text(item, "Status");
    summary.state = text(item, "State");
    summary.created = number(item, "Created");
    summary.labels = labels_of(item);
    if (sizes) summary.changed_bytes = changed_bytes_of(item);
    result.push_back(std::move(summary));
  }
  return result;
}

Container Engine::inspect_container(const std::string& id_or_name) {
  auto call = container_call("inspect", id_or_name, "GET", "/json");
  std::string action = call.request.action;
  auto container = parse_container(impl_->api.ask(std::move(call)));
  if (container.id.empty()) throw DockerError("cannot " + action + ": the Docker daemon's answer has no Id");
  return container;
}

std::string Engine::create_container(const std::string& name, const ContainerSpec& spec) {
  Call call;
  call.topic = Topic::create;
  call.request.action = "create container '" + name + "'";
  call.request.method = "POST";
  call.request.path = "/containers/create" + (name.empty() ? std::string() : query({{"name", name}}));
  try {
    call.request.body = create_body(spec).dump();
  } catch (const json::exception&) {
    throw InvalidInput("cannot " + call.request.action + ": its command, environment or labels are not UTF-8");
  }
  call.request.silence = seconds(120);  // a busy disk makes the layer slowly
  auto id = text(impl_->api.ask(std::move(call)), "Id");
  if (id.empty()) throw ContainerCreationError("cannot create container '" + name + "': the Docker daemon's answer has no Id");
  return id;
}

void Engine::start_container(const std::string& id_or_name) {
  auto call = container_call("start", id_or_name, "POST", "/start");
  call.request.silence = seconds(120);
  call.not_modified_is_fine = true;
  impl_->api.send(std::move(call));
}

void Engine::stop_container(const std::string& id_or_name, seconds grace) {
  auto call = container_call("stop", id_or_name, "POST", "/stop" + query({{"t", std::to_string(grace.count())}}));
  call.request.silence = grace + seconds(60);  // the daemon kills after `grace` and then waits itself
  call.not_modified_is_fine = true;
  impl_->api.send(std::move(call));
}

void Engine::kill_container(const std::string& id_or_name, const std::string& signal) {
  impl_->api.send(container_call("kill", id_or_name, "POST", "/kill" + query({{"signal", signal}})));
}

void Engine::pause_container(const std::string& id_or_name) {
  impl_->api.send(container_call("pause", id_or_name, "POST", "/pause"));
}

void Engine::unpause_container(const std::string& id_or_name) {
  impl_->api.send(container_call("unpause", id_or_name, "POST", "/unpause"));
}

void Engine::remove_container(const std::string& id_or_name, bool force, bool keep_volumes) {
  // v=1: the anonymous volumes go with their container, nobody could find them again
  auto call = container_call("remove", id_or_name, "DELETE", query({{"force", force ? "1" : "0"}, {"v", keep_volumes ? "0" : "1"}}));
  call.request.silence = seconds(300);  // deletes the files of the container
  try {
    impl_->api.send(call);
    return;
  } catch (const DockerError& error) {
    if (error.fact().find("already in progress") == std::string::npos) throw;
  }
  // Another removal (AutoRemove) is on its way: its end is what was asked for, and frees the name.
  for (auto end = std::chrono::steady_clock::now() + seconds(30); std::chrono::steady_clock::now() < end;) {
    std::this_thread::sleep_for(milliseconds(50));
    try {
      inspect_container(id_or_name);
    } catch (const ContainerNotFoundError&) {
      return;
    }
  }
  throw DockerError("cannot " + call.request.action + ": its removal has been in progress for 30 s", "Look at the daemon's log (journalctl -u docker).");
}

}  // namespace riverbox::docker
