#include "environment/holdings.hpp"

#include <algorithm>

#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "environment/name.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kMostHoldings = 10'000;
constexpr size_t kFingerprintDigits = 64;

void sort_out(std::vector<Holding>& holdings) {
  std::sort(holdings.begin(), holdings.end());
  holdings.erase(std::unique(holdings.begin(), holdings.end()), holdings.end());
}

bool is_fingerprint(std::string_view text) { return text.size() == kFingerprintDigits && from_hex(text); }

}  // namespace

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
  sort_out(holdings);
  return holdings;
}

ToldHoldings holdings_of(const nlohmann::json& list) {
  ToldHoldings told;
  for (const auto& image : list) {
    Holding holding{image.at("environment").get<std::string>(), image.at("fingerprint").get<std::string>()};
    if (told.holdings.size() < kMostHoldings && EnvironmentName::is_valid(holding.environment) && is_fingerprint(holding.fingerprint)) told.holdings.push_back(std::move(holding));
    else ++told.left_out;
  }
  sort_out(told.holdings);
  return told;
}

std::vector<std::string> newly_held(const std::vector<Holding>& before, const std::vector<Holding>& now) {
  std::vector<std::string> environments;
  for (const auto& holding : now)
    if ((environments.empty() || environments.back() != holding.environment) && !std::binary_search(before.begin(), before.end(), holding)) environments.push_back(holding.environment);
  return environments;
}

}  // namespace riverbox::environment
