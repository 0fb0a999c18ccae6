#include "environment/present.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "environment/image_manifest.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kMaxLoaded = 256;

bool share_a_blob(const std::set<std::string>& a, const std::set<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& blob) { return b.contains(blob); });
}

}  // namespace

PresentLayers::Choice PresentLayers::choose(const Archive& archive, const std::optional<docker::Image>& before, const NextKnownVersion& known_versions) {
  return containerd_store() ? choose_for_containerd(archive, known_versions) : choose_for_graph_driver(archive, before);
}

void PresentLayers::remember(const Archive& archive) {
  if (archive.manifest_digest.empty()) return;
  const std::lock_guard lock(mutex_);
  recall();
  if (loaded_.size() >= kMaxLoaded) loaded_.clear();  // the versions on the share are known without it
  loaded_[archive.manifest_digest] = {archive.identity.diff_ids, layer_blobs(archive)};
  write_down();
}

// Under the lock.
void PresentLayers::recall() {
  if (std::exchange(recalled_, true) || memory_.empty()) return;
  try {
    const auto json = parse_untrusted_json(os::read_file(memory_, kMaxJsonBytes), "memory");
    for (const auto& [digest, image] : json.at("images").items()) {
      loaded_.emplace(digest, Known{image.at("diff_ids").get<std::vector<std::string>>(), image.at("blobs").get<std::set<std::string>>()});
    }
  } catch (const Error&) {
  } catch (const nlohmann::json::exception&) {
  }
}

// Under the lock. What cannot be written down costs a full load after the next restart, no more.
void PresentLayers::write_down() const {
  if (memory_.empty()) return;
  nlohmann::json images = nlohmann::json::object();
  for (const auto& [digest, known] : loaded_) images[digest] = {{"diff_ids", known.diff_ids}, {"blobs", known.blobs}};
  try {
    os::write_atomically(memory_, nlohmann::json{{"format", 1}, {"images", images}}.dump(1) + "\n");
  } catch (const Error& error) {
    log::warning("environment", "cannot remember what was loaded", {{"file", memory_.string()}, {"reason", error.what()}});
  }
}

void PresentLayers::distrust() {
  const std::lock_guard lock(mutex_);
  containerd_.reset();
  chains_.clear();
}

bool PresentLayers::containerd_store() {
  {
    const std::lock_guard lock(mutex_);
    if (containerd_) return *containerd_;
  }
  const bool containerd = engine_.containerd_store();
  const std::lock_guard lock(mutex_);
  containerd_ = containerd;
  return containerd;
}

PresentLayers::Choice PresentLayers::choose_for_graph_driver(const Archive& archive, const std::optional<docker::Image>& before) {
  // Most often the version before has all but the newest layer, and nobody else can have more.
  const auto& wanted = archive.identity.diff_ids;
  if (before && !wanted.empty() && common_chain(wanted, {before->diff_ids}) == wanted.size() - 1) return {ship_above(archive, wanted.size() - 1), {}};
  Choice choice{ship_above(archive, common_chain(archive.identity.diff_ids, chains_of_images())), {}};
  if (choice.shipment.left_out == 0) choice.why = "no image of the engine begins with its layers";
  return choice;
}

// An image ID of this store is the digest of the config, so what it stands for never changes: each image is inspected once.
std::vector<std::vector<std::string>> PresentLayers::chains_of_images() {
  std::map<std::string, std::vector<std::string>> known;
  {
    const std::lock_guard lock(mutex_);
    known = chains_;
  }
  std::map<std::string, std::vector<std::string>> now;
  for (const std::string& id : engine_.list_image_ids()) {
    if (const auto it = known.find(id); it != known.end()) {
      now.insert(*it);
    } else if (const auto image = engine_.find_image(id)) {
      now.emplace(id, image->diff_ids);
    }
  }
  std::vector<std::vector<std::string>> chains;
  for (const auto& [id, diff_ids] : now) chains.push_back(diff_ids);
  const std::lock_guard lock(mutex_);
  chains_ = std::move(now);
  return chains;
}

PresentLayers::Choice PresentLayers::choose_for_containerd(const Archive& archive, const NextKnownVersion& known_versions) {
  if (archive.manifest_digest.empty()) return {ship_all(archive), "the archive has no OCI manifest, and the engine uses the containerd store"};
  const std::vector<std::string> ids = engine_.list_image_ids();
  const std::set<std::string> listed(ids.begin(), ids.end());
  const std::set<std::string> wanted = layer_blobs(archive);
  std::map<std::string, Known> candidates;
  {
    const std::lock_guard lock(mutex_);
    recall();
    std::erase_if(loaded_, [&](const auto& entry) { return !listed.contains(entry.first); });
    candidates = loaded_;
  }
  std::set<std::string> present;
  const auto consider = [&](const std::string& manifest_digest, const Known& known) {
    if (!listed.contains(manifest_digest) || !share_a_blob(wanted, known.blobs) || !is_complete(manifest_digest, known.diff_ids)) return false;
    present.insert(known.blobs.begin(), known.blobs.end());
    return true;
  };
  for (const auto& [digest, known] : candidates) consider(digest, known);
  // One version of the share is enough: the newest that is here has the most in common.
  while (present.empty()) {
    const auto version = known_versions();
    if (!version) break;
    if (!version->manifest_digest.empty()) consider(version->manifest_digest, {version->identity.diff_ids, layer_blobs(*version)});
  }
  Choice choice{ship_without(archive, present), {}};
  if (choice.shipment.left_out == 0) choice.why = "no image of the engine is known to have its blobs";
  return choice;
}

// An image with missing parts is listed without its layers, or not at all.
bool PresentLayers::is_complete(const std::string& image_id, const std::vector<std::string>& diff_ids) {
  const auto image = engine_.find_image(image_id);
  return image && image->id == image_id && image->diff_ids == diff_ids;
}

}  // namespace riverbox::environment
