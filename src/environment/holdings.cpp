#include "environment/holdings.hpp"

#include <algorithm>

#include "base/sha256.hpp"
#include "environment/name.hpp"

namespace riverbox::environment {

std::string fingerprint(const Identity& identity) {
  Sha256 sha;
  for (const std::string& diff_id : identity.diff_ids) sha.update(diff_id + "\n");
  sha.update(to_rfc3339(identity.created));
  return sha.finish().str().substr(std::string_view("sha256:").size());
}

std::vector<Holding> find_holdings(docker::Engine& engine, const docker::Naming& naming) {
  const std::string start = naming.prefix() + "/";
  std::vector<Holding> holdings;
  for (const docker::Image& image : engine.list_images_tagged(start + "*")) {
    for (const std::string& tag : image.tags) {
      if (!tag.starts_with(start)) continue;
      const std::string name = tag.substr(start.size(), tag.rfind(':') - start.size());
      if (EnvironmentName::is_valid(name)) holdings.push_back({name, fingerprint({image.diff_ids, image.created})});
    }
  }
  std::sort(holdings.begin(), holdings.end());
  holdings.erase(std::unique(holdings.begin(), holdings.end()), holdings.end());
  return holdings;
}

}  // namespace riverbox::environment
