// Where the daemon listens: DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as the docker CLI reads them.
#include <cstdlib>

#include "base/strings.hpp"
#include "docker/engine.hpp"

namespace riverbox::docker {

namespace {

constexpr const char* kDefaultHost = "unix:///var/run/docker.sock";

std::string environment_value(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

[[noreturn]] void refuse(std::string_view host, const std::string& cause, std::string next = {}) {
  if (next.empty()) next = "Use unix:///path/of/docker.sock or tcp://host:port.";
  throw InvalidInput("cannot use the Docker host '" + printable(host) + "': " + cause, std::move(next));
}

// host, host:port, [v6], [v6]:port; an empty host is this machine, as in the docker CLI.
void check_address(std::string_view whole, std::string_view address) {
  if (address.find_first_of("/?#@ ") != address.npos) refuse(whole, "an address is only host and port");
  auto colon = address.rfind(':');
  if (address.starts_with('[')) {
    auto close = address.find(']');
    if (close == address.npos) refuse(whole, "the bracket of the IPv6 address is not closed");
    if (close + 1 == address.size()) return;
    if (address[close + 1] != ':') refuse(whole, "only a port can follow the address");
    colon = close + 1;
  } else if (colon != address.find(':')) {
    refuse(whole, "an IPv6 address needs brackets");
  }
  if (colon == address.npos) {
    if (address.empty()) refuse(whole, "the address is empty");
    return;
  }
  auto port = parse_u64(address.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) refuse(whole, "the port is not a number from 1 to 65535");
}

}  // namespace

Endpoint Endpoint::parse(std::string_view docker_host) {
  auto text = trim(docker_host);
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) refuse(text, "it contains a control character");
  Endpoint endpoint;
  if (text.starts_with("unix://")) {
    auto path = text.substr(7);
    if (path.empty()) path = std::string_view(kDefaultHost).substr(7);  // "unix://" means the default socket
    if (!path.starts_with('/')) refuse(text, "the path of the socket is not absolute");
    if (path.size() > 107) refuse(text, "the path is longer than the 107 bytes of a unix socket", "Use a shorter path.");
    endpoint.host = "unix://" + std::string(path);
  } else if (text.starts_with("tcp://")) {
    auto address = text.substr(6);
    if (address.ends_with('/')) address.remove_suffix(1);
    check_address(text, address);
    endpoint.host = "tcp://" + std::string(address);
  } else if (text.starts_with("ssh://")) {
    refuse(text, "ssh:// is not supported",
           "Forward the socket (ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST) and set "
           "DOCKER_HOST=unix:///tmp/docker.sock.");
  } else {
    refuse(text, "it begins with neither unix:// nor tcp://");
  }
  return endpoint;
}

Endpoint Endpoint::configured(std::string_view docker_host) { return docker_host.empty() ? from_environment() : parse(docker_host); }

Endpoint Endpoint::from_environment() {
  auto host = environment_value("DOCKER_HOST");
  Endpoint endpoint = parse(host.empty() ? kDefaultHost : host);
  if (!endpoint.host.starts_with("tcp://")) return endpoint;
  endpoint.tls = !environment_value("DOCKER_TLS_VERIFY").empty();
  if (!endpoint.tls) return endpoint;
  endpoint.cert_path = environment_value("DOCKER_CERT_PATH");
  if (endpoint.cert_path.empty()) endpoint.cert_path = environment_value("DOCKER_CONFIG");
  if (endpoint.cert_path.empty()) endpoint.cert_path = environment_value("HOME") + "/.docker";
  return endpoint;
}

}  // namespace riverbox::docker
