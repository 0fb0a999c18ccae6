// The sidecar of an archive: what read_archive() says, kept. docs/archive-format.md has the fields.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "environment/archive.hpp"
#include "environment/image_manifest.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

// Keys in the order of writing: listings read no further than `config_digest` (share.cpp).
using OrderedJson = nlohmann::ordered_json;
constexpr int kIndexFormat = 1;

std::string checked_digest(const nlohmann::json& value) {
  const std::string text = value.get<std::string>();
  if (!text.starts_with("sha256:") || !Digest::is_valid(text)) throw BadData("no digest");
  return text;
}

Span checked_span(const nlohmann::json& object, const char* key, std::uint64_t tar_size_bytes) {
  const auto it = object.find(key);
  if (it == object.end()) return {};
  const Span span{it->at("offset").get<std::uint64_t>(), it->at("size_bytes").get<std::uint64_t>()};
  if (span.offset > tar_size_bytes || span.size_bytes > tar_size_bytes - span.offset) throw BadData("a member outside of the file");
  return span;
}

// Whatever is not one is an empty one, which nothing verifies.
std::optional<Signature> signature_in(const nlohmann::json& json) {
  const auto found = json.is_object() ? json.find("signature") : json.end();
  if (!json.is_object() || found == json.end()) return std::nullopt;
  const auto text = [&](const char* key) {
    const auto it = found->is_object() ? found->find(key) : found->end();
    return found->is_object() && it != found->end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  return Signature{text("key"), text("ed25519")};
}

Archive archive_in(const std::string& text, std::uint64_t tar_size_bytes) {
  const nlohmann::json json = parse_untrusted_json(text, "index");
  if (json.at("format").get<int>() != kIndexFormat) throw BadData("another format");
  Archive archive;
  archive.size_bytes = json.at("size_bytes").get<std::uint64_t>();
  if (archive.size_bytes != tar_size_bytes) throw BadData("another file");
  archive.config_digest = checked_digest(json.at("config_digest"));
  archive.identity.created = parse_rfc3339(json.at("created").get<std::string>());
  archive.architecture = json.at("architecture").get<std::string>();
  archive.os = json.at("os").get<std::string>();
  archive.repo_tags = json.at("repo_tags").get<std::vector<std::string>>();
  // Indexes of before these keys are as good: the archive has the answer.
  if (const auto digest = json.find("manifest_digest"); digest != json.end()) archive.manifest_digest = checked_digest(*digest);
  archive.config = checked_span(json, "config", tar_size_bytes);
  archive.manifest = checked_span(json, "manifest", tar_size_bytes);
  for (const auto& item : json.at("layers")) {
    Layer layer;
    layer.member = item.at("member").get<std::string>();
    layer.diff_id = checked_digest(item.at("diff_id"));
    layer.offset = item.at("offset").get<std::uint64_t>();
    layer.size_bytes = item.at("size_bytes").get<std::uint64_t>();
    layer.compressed = item.at("compressed").get<bool>();
    if (layer.offset > tar_size_bytes || layer.size_bytes > tar_size_bytes - layer.offset) throw BadData("a layer outside of the file");
    archive.identity.diff_ids.push_back(layer.diff_id);
    archive.layers.push_back(std::move(layer));
  }
  archive.signature = signature_in(json);
  return archive;
}

}  // namespace

void write_index(const os::Place& index_file, const Archive& archive) {
  os::make_folders_beneath(index_file.parent());
  OrderedJson json;
  json["format"] = kIndexFormat;
  json["tarball"] = std::filesystem::path(index_file.name()).stem().string() + ".tar";
  json["size_bytes"] = archive.size_bytes;
  json["config_digest"] = archive.config_digest;
  json["created"] = to_rfc3339(archive.identity.created);
  json["architecture"] = archive.architecture;
  json["os"] = archive.os;
  json["repo_tags"] = archive.repo_tags;
  const auto put_span = [&](const char* key, const Span& span) {
    if (span.size_bytes > 0) json[key] = {{"offset", span.offset}, {"size_bytes", span.size_bytes}};
  };
  if (!archive.manifest_digest.empty()) json["manifest_digest"] = archive.manifest_digest;
  put_span("config", archive.config);
  put_span("manifest", archive.manifest);
  json["layers"] = OrderedJson::array();
  for (const Layer& layer : archive.layers) {
    json["layers"].push_back({{"member", layer.member}, {"diff_id", layer.diff_id}, {"offset", layer.offset},
                              {"size_bytes", layer.size_bytes}, {"compressed", layer.compressed}});
  }
  if (archive.signature) json["signature"] = {{"key", archive.signature->key_id}, {"ed25519", archive.signature->value}};
  os::write_atomically(index_file, json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

std::optional<Archive> read_index(const os::Place& index_file, std::uint64_t tar_size_bytes) {
  try {
    return parse_index(os::read_beneath(index_file, kMaxJsonBytes), tar_size_bytes);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<Archive> parse_index(const std::string& text, std::uint64_t tar_size_bytes) {
  // Whatever is wrong with it, the archive itself has the answer: no failure here is worth a word to the user.
  try {
    return archive_in(text, tar_size_bytes);
  } catch (const Error&) {
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::optional<Signature> read_signature(const os::Place& index_file) {
  try {
    return signature_in(parse_untrusted_json(os::read_beneath(index_file, kMaxJsonBytes), "index"));
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace riverbox::environment
