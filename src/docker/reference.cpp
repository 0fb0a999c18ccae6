#include "docker/reference.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "docker/json_fields.hpp"
#include "os/fd.hpp"

namespace riverbox::docker {

namespace {

constexpr const char* kDockerHub = "docker.io";
constexpr const char* kDockerHubKey = "https://index.docker.io/v1/";  // its key in "auths", for historical reasons

std::string base64url(std::string_view bytes) {
  auto text = base64(bytes);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

// "https://host/v1/" and "host" are the same registry.
std::string host_of(std::string_view key) {
  if (auto scheme = key.find("://"); scheme != key.npos) key.remove_prefix(scheme + 3);
  return std::string(key.substr(0, key.find('/')));
}

constexpr size_t kMaxTagBytes = 128;

// "algorithm:encoded" (OCI image specification, "Digests"): how long it has to be is the registry's to say.
bool is_digest_text(std::string_view text) {
  const size_t colon = text.find(':');
  const auto consists_of = [](std::string_view part, std::string_view also) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [&](unsigned char c) { return std::isalnum(c) || also.find(static_cast<char>(c)) != std::string_view::npos; });
  };
  return colon != std::string_view::npos && consists_of(text.substr(0, colon), "+._-") && consists_of(text.substr(colon + 1), "=_-");
}

}  // namespace

Reference Reference::parse(std::string_view text) {
  text = trim(text);
  auto refuse = [&](const char* cause) {
    throw InvalidInput("'" + printable(text) + "' is not an image reference: " + cause, "Write name, name:tag or registry/name:tag.");
  };
  if (text.empty()) refuse("it is empty");
  for (char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) refuse("it contains white space or control characters");
  if (text.starts_with("sha256:")) refuse("it is an image ID, which no registry knows");

  Reference reference;
  if (auto at = text.find('@'); at != text.npos) {
    reference.tag = text.substr(at + 1);
    text = text.substr(0, at);
    if (!is_digest_text(reference.tag)) refuse("after the @ there is no digest, such as sha256: and 64 hex digits");
  }
  auto slash = text.rfind('/');
  auto colon = text.rfind(':');
  if (colon != text.npos && (slash == text.npos || colon > slash)) {  // else it is the port of the registry
    if (reference.tag.empty()) reference.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
    if (reference.tag.empty()) refuse("the tag is empty");
    if (reference.tag.find_first_of("/@") != std::string::npos) refuse("the tag contains a / or @");
  }
  if (text.empty() || text.ends_with('/')) refuse("the name is empty");
  if (text.substr(text.rfind('/') + 1).find(':') != text.npos) refuse("it has two tags");
  if (reference.tag.size() > kMaxTagBytes && !reference.is_digest()) refuse("the tag is longer than 128 characters");
  if (reference.tag.empty()) reference.tag = "latest";  // without a tag the Engine would pull all of them
  reference.name = text;
  auto first = text.substr(0, text.find('/'));
  bool has_registry = first.size() < text.size() && (first.find_first_of(".:") != first.npos || first == "localhost");
  reference.registry = has_registry ? std::string(first) : kDockerHub;
  if (reference.registry == "index.docker.io") reference.registry = kDockerHub;
  return reference;
}

std::string registry_auth_from(const std::string& config_json, const std::string& registry) {
  auto config = nlohmann::json::parse(config_json, nullptr, false);
  auto& auths = field(config, "auths");
  if (!auths.is_object()) return {};
  for (auto& [key, entry] : auths.items()) {
    bool matches = registry == kDockerHub ? key == kDockerHubKey || host_of(key) == "index.docker.io" || host_of(key) == kDockerHub
                                          : host_of(key) == registry;
    if (!matches) continue;
    nlohmann::json credentials = {{"serveraddress", registry == kDockerHub ? kDockerHubKey : registry}};
    if (auto token = text(entry, "identitytoken"); !token.empty()) {
      credentials["identitytoken"] = token;
    } else {
      auto pair = base64_decoded(text(entry, "auth"));
      auto colon = pair ? pair->find(':') : std::string::npos;
      if (colon == std::string::npos) continue;
      credentials["username"] = pair->substr(0, colon);
      credentials["password"] = pair->substr(colon + 1);
    }
    return base64url(credentials.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return {};
}

std::string registry_auth(const std::string& registry) {
  std::string folder;
  if (const char* configured = std::getenv("DOCKER_CONFIG"); configured && *configured) folder = configured;
  else if (const char* home = std::getenv("HOME"); home && *home) folder = std::string(home) + "/.docker";
  if (folder.empty()) return {};
  try {
    return registry_auth_from(os::read_file(folder + "/config.json", 1 << 20), registry);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace riverbox::docker
