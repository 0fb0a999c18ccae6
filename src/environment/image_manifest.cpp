#include "environment/image_manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

using Json = nlohmann::json;

std::string shown(std::string_view text) { return printable(text, 100); }

Json read_json(const TarMembers& members, const ReadMember& read, std::string_view path) {
  const auto [name, member] = members.resolve(path);
  if (member.size_bytes > kMaxJsonBytes) {
    throw BadData(fmt::format("'{}' is {} large: at most {} are allowed", shown(path), human_bytes(member.size_bytes), human_bytes(kMaxJsonBytes)));
  }
  return parse_untrusted_json(read(name, member, member.size_bytes), path);
}

std::vector<std::string> strings_of(const Json& object, const char* key, std::string_view what) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return {};
  if (!it->is_array()) throw BadData(fmt::format("'{}' of {} is not a list", key, what));
  std::vector<std::string> out;
  out.reserve(it->size());
  for (const Json& item : *it) {
    if (!item.is_string()) throw BadData(fmt::format("'{}' of {} holds something that is not a text", key, what));
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::string string_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

[[noreturn]] void throw_no_manifest(const TarMembers& members) {
  if (members.contains("index.json") || members.contains("oci-layout")) {
    throw BadData("it is an OCI archive without manifest.json, which older engines cannot load");
  }
  if (members.contains("repositories")) throw BadData("it was written by a Docker older than 1.10 (no manifest.json)");
  if (members.contains("etc") || members.contains("bin") || members.contains("usr")) {
    throw BadData("it is a root file system ('docker export'), not an image ('docker save')");
  }
  if (members.size() == 0) throw BadData("it is an empty tar");
  throw BadData("it is a tar file, but not of a Docker image (no manifest.json)");
}

// The engine reads JSON keys without regard to case. A second spelling would show it other tags than it shows us.
void refuse_second_spellings(const Json& entry, std::initializer_list<const char*> keys, std::string_view what) {
  for (const char* key : keys) {
    for (const auto& [other, value] : entry.items()) {
      if (other != key && to_lower(other) == to_lower(key)) throw BadData(fmt::format("{} spells '{}' as '{}'", what, key, shown(other)));
    }
  }
}

Json read_manifest_entry(const TarMembers& members, const ReadMember& read) {
  if (!members.contains("manifest.json")) throw_no_manifest(members);
  Json manifest = read_json(members, read, "manifest.json");
  if (!manifest.is_array() || manifest.empty()) throw BadData("manifest.json names no image");
  if (manifest.size() > 1) {
    std::vector<std::string> names;
    for (const Json& entry : manifest) {
      if (names.size() == 5) { names.push_back("..."); break; }
      const auto tags = entry.is_object() ? strings_of(entry, "RepoTags", "manifest.json") : std::vector<std::string>{};
      names.push_back(tags.empty() ? "<untagged>" : shown(tags.front()));
    }
    throw BadData(fmt::format("it holds {} images ({}), exactly one is expected", manifest.size(), join(names, ", ")));
  }
  if (!manifest[0].is_object()) throw BadData("manifest.json is malformed");
  refuse_second_spellings(manifest[0], {"Config", "RepoTags", "Layers"}, "manifest.json");
  return std::move(manifest[0]);
}

// A containerd store takes the names from index.json, the others from manifest.json: they have to say the same.
void check_index_names(const Json& index, const std::vector<std::string>& repo_tags) {
  if (!index.is_object()) throw BadData("index.json is malformed");
  const auto manifests = index.find("manifests");
  if (manifests == index.end() || !manifests->is_array()) return;
  for (const Json& manifest : *manifests) {
    if (!manifest.is_object()) throw BadData("index.json is malformed");
    const auto annotations = manifest.find("annotations");
    if (annotations == manifest.end() || !annotations->is_object()) continue;
    std::string name = string_of(*annotations, "io.containerd.image.name");
    if (name.empty()) continue;
    for (const std::string_view registry : {"docker.io/library/", "docker.io/"}) {
      if (name.starts_with(registry)) { name.erase(0, registry.size()); break; }
    }
    if (std::find(repo_tags.begin(), repo_tags.end(), name) == repo_tags.end()) {
      throw BadData(fmt::format("index.json names the image '{}', manifest.json does not", shown(name)));
    }
  }
}


// Of a descriptor {"digest", "size"}: does it name this member of this size?
bool describes(const Json& descriptor, std::string_view digest, std::uint64_t size_bytes) {
  if (!descriptor.is_object() || string_of(descriptor, "digest") != digest) return false;
  const auto size = descriptor.find("size");
  return size != descriptor.end() && size->is_number_unsigned() && size->get<std::uint64_t>() == size_bytes;
}

// The digest of the one image manifest that index.json names. Empty: none, several, or something else (an index of indexes).
std::string named_manifest(const Json& index) {
  const auto manifests = index.find("manifests");
  if (manifests == index.end() || !manifests->is_array() || manifests->size() != 1 || !(*manifests)[0].is_object()) return {};
  const std::string type = string_of((*manifests)[0], "mediaType"), digest = string_of((*manifests)[0], "digest");
  if (type != "application/vnd.oci.image.manifest.v1+json" && type != "application/vnd.docker.distribution.manifest.v2+json") return {};
  return digest.starts_with("sha256:") && Digest::is_valid(digest) ? digest : std::string();
}

void describe_manifest(const TarMembers& members, const ReadMember& read, const Json& index, Archive& archive, Documents& documents) {
  const std::string digest = named_manifest(index);
  const std::string path = digest.empty() ? std::string() : std::string(kBlobFolder) + digest.substr(7);
  if (path.empty() || !members.contains(path)) return;
  const auto [name, member] = members.resolve(path);
  if (member.size_bytes > kMaxJsonBytes) return;
  std::string text = read(name, member, member.size_bytes);
  if (const std::string found = Sha256::of(text).str(); found != digest) {
    throw BadData(fmt::format("the manifest '{}' is damaged: its digest is {}", shown(name), found));
  }
  if (!is_manifest_of(text, archive)) return;
  archive.manifest_digest = digest;
  archive.manifest = {member.offset, member.size_bytes};
  documents.manifest = std::move(text);
}

// Every entry stands for a layer, unless it says that it does not: so the engines count, and refuse what they have taken in already.
size_t layers_in_history(const Json& config) {
  const auto history = config.find("history");
  if (history == config.end() || !history->is_array()) return 0;
  return static_cast<size_t>(std::count_if(history->begin(), history->end(), [](const Json& entry) {
    return !entry.is_object() || entry.find("empty_layer") == entry.end() || entry["empty_layer"] != true;
  }));
}

}  // namespace

void describe_config(std::string_view text, Archive& archive) {
  const Json config = parse_untrusted_json(text, "the config");
  if (!config.is_object()) throw BadData("the config is malformed");
  const auto rootfs = config.find("rootfs");
  if (rootfs == config.end() || !rootfs->is_object()) throw BadData("the config has no rootfs");
  archive.identity.diff_ids = strings_of(*rootfs, "diff_ids", "the config");
  for (const std::string& diff_id : archive.identity.diff_ids) {
    if (!diff_id.starts_with("sha256:") || !Digest::is_valid(diff_id)) throw BadData(fmt::format("'{}' in the config is no sha256 digest", shown(diff_id)));
  }
  const size_t layers = archive.identity.diff_ids.size(), told = layers_in_history(config);
  if (layers > kMaxImageLayers) throw BadData(fmt::format("it has {} layers: at most {} are allowed", layers, kMaxImageLayers));
  if (told > layers) throw BadData(fmt::format("the history in the config tells of {} layers, but there are {}", told, layers));
  // Images without a date carry none, or Go's zero time; both are the epoch for us.
  const std::string created = string_of(config, "created");
  if (!created.empty() && !created.starts_with("0001-")) archive.identity.created = parse_rfc3339(created);
  archive.architecture = string_of(config, "architecture");
  archive.os = string_of(config, "os");
}

bool is_manifest_of(std::string_view text, const Archive& archive) {
  const Json manifest = parse_untrusted_json(text, "the manifest");
  if (!manifest.is_object()) return false;
  refuse_second_spellings(manifest, {"config", "layers"}, "the manifest");
  const auto config = manifest.find("config"), layers = manifest.find("layers");
  if (config == manifest.end() || !describes(*config, archive.config_digest, archive.config.size_bytes)) return false;
  if (layers == manifest.end() || !layers->is_array() || layers->size() != archive.layers.size()) return false;
  for (size_t i = 0; i < archive.layers.size(); ++i) {
    const Layer& layer = archive.layers[i];
    if (!layer.member.starts_with(kBlobFolder)) return false;
    if (!describes((*layers)[i], "sha256:" + layer.member.substr(kBlobFolder.size()), layer.size_bytes)) return false;
  }
  return true;
}

Json parse_untrusted_json(std::string_view text, std::string_view what) {
  try {
    return Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      if (depth > kMaxJsonDepth) throw BadData(fmt::format("'{}' is nested more than {} deep", shown(what), kMaxJsonDepth));
      return true;
    });
  } catch (const Json::exception&) {  // its texts speak of the library, not of the file
    throw BadData(fmt::format("'{}' is not valid JSON", shown(what)));
  }
}

std::string digest_in_name(std::string_view name) {
  constexpr std::string_view kBlobs = "blobs/";
  if (name.starts_with(kBlobs)) {
    const std::string_view rest = name.substr(kBlobs.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) throw BadData(fmt::format("member '{}' is no blob", shown(name)));
    if (rest.substr(0, slash) != "sha256") throw BadData(fmt::format("member '{}' has a digest of an unknown kind", shown(name)));
    const std::string digest = "sha256:" + std::string(rest.substr(slash + 1));
    if (!Digest::is_valid(digest)) throw BadData(fmt::format("member '{}' has a malformed digest", shown(name)));
    return digest;
  }
  if (name.size() == 69 && name.ends_with(".json")) {
    const std::string digest = "sha256:" + std::string(name.substr(0, 64));
    if (Digest::is_valid(digest)) return digest;
  }
  return {};
}

Archive describe_image(const TarMembers& members, const ReadMember& read, Documents* documents) {
  Documents unwanted;
  if (!documents) documents = &unwanted;
  members.check_links();
  const Json entry = read_manifest_entry(members, read);
  Archive archive;
  archive.repo_tags = strings_of(entry, "RepoTags", "manifest.json");
  const Json index = members.contains("index.json") ? read_json(members, read, "index.json") : Json::object();
  check_index_names(index, archive.repo_tags);

  const std::string config_path = string_of(entry, "Config");
  if (config_path.empty()) throw BadData("manifest.json names no config");
  const auto [config_name, config_member] = members.resolve(config_path);
  if (config_member.size_bytes > kMaxJsonBytes) throw BadData(fmt::format("the config is {} large", human_bytes(config_member.size_bytes)));
  std::string config_text = read(config_name, config_member, config_member.size_bytes);
  archive.config_digest = Sha256::of(config_text).str();
  if (const std::string promised = digest_in_name(config_name); !promised.empty() && promised != archive.config_digest) {
    throw BadData(fmt::format("the config '{}' has the digest {}", shown(config_name), archive.config_digest));
  }
  describe_config(config_text, archive);
  archive.config = {config_member.offset, config_member.size_bytes};
  documents->config = std::move(config_text);

  const auto paths = strings_of(entry, "Layers", "manifest.json");
  const auto& diff_ids = archive.identity.diff_ids;
  if (paths.size() != diff_ids.size()) {
    throw BadData(fmt::format("manifest.json lists {} layers, the config {}", paths.size(), diff_ids.size()));
  }
  archive.layers.reserve(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto [name, member] = members.resolve(paths[i]);
    const bool compressed = compression_of(read(name, member, 6)).has_value();
    archive.layers.push_back({name, diff_ids[i], member.offset, member.size_bytes, compressed});
  }
  describe_manifest(members, read, index, archive, *documents);
  return archive;
}

}  // namespace riverbox::environment
