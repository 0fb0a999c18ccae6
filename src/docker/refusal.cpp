// From the daemon's refusals to our errors: one place that knows the Engine's wording.
#include "base/strings.hpp"
#include "docker/api.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

namespace {

bool has(std::string_view text, std::initializer_list<std::string_view> parts) {
  auto lower = to_lower(text);
  for (auto part : parts)
    if (lower.find(part) != lower.npos) return true;
  return false;
}

ErrorKind kind_of(long status, ErrorKind otherwise) {
  switch (status) {
    case 400: return ErrorKind::invalid_input;
    case 401: return ErrorKind::unauthorized;
    case 403: return ErrorKind::forbidden;
    case 404: return ErrorKind::not_found;
    case 409: return ErrorKind::conflict;
    case 503: return ErrorKind::unavailable;
    default: return otherwise;
  }
}

bool is_missing_network(std::string_view cause) { return has(cause, {"network "}) && has(cause, {"not found"}); }

// The step that helps, from the cause alone; empty when the cause says it all.
std::string advice_for(std::string_view cause) {
  if (has(cause, {"no space left on device"})) return "Free space on the disk that holds the Docker data (docker system df shows what uses it).";
  if (has(cause, {"max depth exceeded"})) return "The image has too many layers: flatten it before the next commit.";
  if (has(cause, {"could not select device driver", "unknown runtime specified nvidia"}))
    return "Install the NVIDIA container toolkit on this machine and restart Docker.";
  if (has(cause, {"requested cpus are not available", "range of cpus is from"})) return "Ask for cores that this machine has.";
  if (has(cause, {"minimum memory limit"})) return "Ask for more memory.";
  if (has(cause, {"bind source path does not exist"})) return "Create the folder on this machine, or mount another one.";
  if (is_missing_network(cause))
    return "Create the network (docker network create) or choose another one.";
  if (has(cause, {"address pools have been fully subnetted", "non-overlapping ipv4 address pool"}))
    return "Remove networks that nobody needs (docker network prune), or name addresses that nothing uses.";
  if (has(cause, {"is paused"})) return "Unpause it first (docker unpause).";
  if (has(cause, {"port is already allocated", "address already in use"})) return "Choose another port, or stop what uses this one.";
  return {};
}

bool is_resource_problem(std::string_view cause) {
  return has(cause, {"could not select device driver", "unknown runtime specified nvidia", "requested cpus are not available",
                     "range of cpus is from", "minimum memory limit", "cannot allocate memory", "no space left on device"});
}

bool is_unknown_image(std::string_view cause) {
  return has(cause, {"manifest unknown", "manifest for ", "repository does not exist", "pull access denied", "no such image",
                     "name unknown", "not found: does not exist", ": not found"}) &&
         !has(cause, {"no such host"});
}

bool is_network_problem(std::string_view cause) {
  return has(cause, {"dial tcp", "no such host", "i/o timeout", "connection refused", "connection reset", "tls handshake",
                     "toomanyrequests", "request canceled", "unexpected eof", "server misbehaving"});
}

[[noreturn]] void throw_pull_failure(const std::string& fact, const std::string& cause, long status) {
  if (is_unknown_image(cause))
    throw ImageNotFoundError(fact, has(cause, {"denied"}) ? "Check the name and the tag; a private image needs docker login first."
                                                          : "Check the name and the tag.");
  if (has(cause, {"toomanyrequests"}))
    throw DockerError(fact, "The registry limits anonymous pulls: docker login, or wait.", ErrorKind::unavailable);
  if (is_network_problem(cause))
    throw DockerError(fact, "Check that the machine of the Docker daemon reaches the registry.", ErrorKind::unavailable);
  if (status == 401 || status == 403 || has(cause, {"unauthorized", "authentication required"}))
    throw DockerError(fact, "Log in to the registry first (docker login).", ErrorKind::unauthorized);
  throw DockerError(fact, advice_for(cause), kind_of(status, ErrorKind::internal));
}

// Refusals that mean the same whatever was asked.
void throw_if_missing(const std::string& fact, const std::string& cause) {
  if (has(cause, {"no such container"}))
    throw ContainerNotFoundError(fact, "`docker ps -a` lists the containers there are.");
  if (has(cause, {"no such image"})) throw ImageNotFoundError(fact, "`docker images` lists the images there are.");
  if (has(cause, {"no such exec"})) throw ContainerExecutionError(fact, "The command has ended or its container was stopped.", ErrorKind::not_found);
}

}  // namespace

void throw_failure(Topic topic, const std::string& action, long status, const std::string& cause) {
  const std::string fact = "cannot " + action + ": " + printable(cause, 1000);
  if (topic == Topic::pull) throw_pull_failure(fact, cause, status);
  throw_if_missing(fact, cause);
  if (status == 404 && topic == Topic::container && !is_missing_network(cause)) throw ContainerNotFoundError(fact, "`docker ps -a` lists the containers there are.");
  if (status == 404 && (topic == Topic::image || topic == Topic::save)) throw ImageNotFoundError(fact, "`docker images` lists the images there are.");
  std::string next = advice_for(cause);
  bool about_container = topic == Topic::create || topic == Topic::container || topic == Topic::exec;
  if (about_container && is_resource_problem(cause)) throw ResourceAllocationError(fact, next);
  switch (topic) {
    case Topic::create:
      if (status == 409) {
        if (next.empty()) next = "Remove that container, or choose another name.";
        throw ContainerCreationError(fact, next, ErrorKind::conflict);
      }
      throw ContainerCreationError(fact, next, kind_of(status, ErrorKind::internal));
    case Topic::exec:
      throw ContainerExecutionError(fact, next, kind_of(status, ErrorKind::internal));
    case Topic::commit:
      throw ImageBuildError(fact, next, kind_of(status, ErrorKind::internal));
    case Topic::save:
      throw ImageExportError(fact, next, kind_of(status, ErrorKind::internal));
    case Topic::load:
      throw ImageImportError(fact, next, status >= 500 || status == 400 ? ErrorKind::bad_data : kind_of(status, ErrorKind::bad_data));
    case Topic::image:
      if (status == 409 && next.empty()) next = "Remove the containers that use it first.";
      break;
    default:
      break;
  }
  if (status >= 500 && next.empty()) next = "The daemon's log says more (journalctl -u docker).";
  throw DockerError(fact, next, kind_of(status, ErrorKind::internal));
}

void throw_refusal(const Call& call, long status, const std::string& body) {
  auto json = nlohmann::json::parse(body, nullptr, false);
  std::string cause = text(json, "message");
  if (cause.empty() && json.is_discarded()) cause = trim(body);
  if (cause.empty()) cause = "the Docker daemon refused";
  if (status < 400) cause = "the Docker daemon answered with the unexpected status";  // a redirect: not an Engine, or an odd name
  cause += status < 400 || text(json, "message").empty() ? " (status " + std::to_string(status) + ")" : "";
  throw_failure(call.topic, call.request.action, status, cause);
}

}  // namespace riverbox::docker
