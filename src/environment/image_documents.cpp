#include "environment/image_documents.hpp"

#include <nlohmann/json.hpp>

namespace riverbox::environment {

using Json = nlohmann::ordered_json;

std::string manifest_json(const std::string& config_member, const std::string& tag, const std::vector<std::string>& layer_members) {
  return Json::array({{{"Config", config_member}, {"RepoTags", tag.empty() ? Json() : Json::array({tag})}, {"Layers", layer_members}}}).dump();
}

std::string index_json(const std::string& manifest_digest, std::uint64_t manifest_bytes, const std::string& manifest_type, const std::string& tag) {
  const Json names = {{"io.containerd.image.name", "docker.io/" + tag}, {"org.opencontainers.image.ref.name", tag.substr(tag.rfind(':') + 1)}};
  const Json entry = {{"mediaType", manifest_type}, {"digest", manifest_digest}, {"size", manifest_bytes}, {"annotations", names}};
  return Json{{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", Json::array({entry})}}.dump();
}

}  // namespace riverbox::environment
