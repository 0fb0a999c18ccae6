// Image references as a registry sees them, and the credentials for it.
#pragma once
#include <string>
#include <string_view>

namespace riverbox::docker {

struct Reference {
  std::string name;      // "ubuntu", "127.0.0.1:5000/debian"
  std::string tag;       // "latest" when none is given; "sha256:..." of a digest reference
  std::string registry;  // "docker.io", "127.0.0.1:5000"
  // Throws InvalidInput: empty, white space, an image ID.
  static Reference parse(std::string_view text);
  bool is_digest() const { return tag.find(':') != std::string::npos; }  // else a tag, which may name another image tomorrow
  std::string str() const { return name + (is_digest() ? "@" : ":") + tag; }
};

// The value of X-Registry-Auth from $DOCKER_CONFIG/config.json or ~/.docker/config.json; empty when it has nothing for
// the registry. A file that cannot be read or parsed counts as having nothing: the registry will say what it wants.
std::string registry_auth(const std::string& registry);
// The same from the text of a config.json, for the tests.
std::string registry_auth_from(const std::string& config_json, const std::string& registry);

}  // namespace riverbox::docker
