#include "environment/image_documents.hpp"

#include "base/json.hpp"


namespace riverbox::environment {

using OrderedJson = nlohmann::ordered_json;

std::string manifest_json(const std::string& config_member, const std::string& tag, const std::vector<std::string>& layer_members) {
  return OrderedJson::array({{{"Config", config_member}, {"RepoTags", tag.empty() ? OrderedJson() : OrderedJson::array({tag})}, {"Layers", layer_members}}}).dump();
}

std::string index_json(const std::string& manifest_digest, std::uint64_t manifest_bytes, const std::string& manifest_type, const std::string& tag) {
  const OrderedJson names = {{"io.containerd.image.name", "docker.io/" + tag}, {"org.opencontainers.image.ref.name", tag.substr(tag.rfind(':') + 1)}};
  const OrderedJson entry = {{"mediaType", manifest_type}, {"digest", manifest_digest}, {"size", manifest_bytes}, {"annotations", names}};
  return OrderedJson{{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", OrderedJson::array({entry})}}.dump();
}

}  // namespace riverbox::environment
