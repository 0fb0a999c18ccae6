// The versions of environments on the share.
#include <algorithm>

#include "api/fields.hpp"
#include "api/handlers.hpp"
#include "api/progress.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"

namespace riverbox::api {
namespace {

constexpr auto kDiffTimeout = std::chrono::minutes(5);


Json version_shape(const environment::Version& v) {
  return {{"timestamp", v.timestamp}, {"tarball", v.tarball}, {"size_bytes", v.size_bytes}, {"image_id", or_null(v.image_id)}};
}

Json version_facts_shape(const host::VersionFacts& facts, const std::vector<std::string>& nodes) {
  const bool known = facts.problem.empty();
  Json out = version_shape(facts.version);
  out["created"] = known ? Json(to_rfc3339(facts.created)) : Json(nullptr);
  out["layers"] = known ? Json(facts.layers) : Json(nullptr);
  out["own_bytes"] = known ? Json(facts.own_bytes) : Json(nullptr);
  out["pinned"] = facts.pinned;
  out["newest"] = facts.newest;
  out["nodes"] = nodes;
  out["problem"] = or_null(facts.problem);
  out["signature"] = known ? Json(environment::to_string(facts.signature)) : Json(nullptr);
  return out;
}

Json layers_shape(const std::vector<environment::LayerFact>& layers) {
  Json list = Json::array();
  std::uint64_t bytes = 0;
  for (const auto& layer : layers) {
    list.push_back({{"diff_id", layer.diff_id}, {"size_bytes", layer.size_bytes}});
    bytes += layer.size_bytes;
  }
  return {{"count", layers.size()}, {"bytes", bytes}, {"layers", std::move(list)}};
}

const char* file_type(char type) {
  switch (type) {
    case '0': return "file";
    case '2': return "symlink";
    case '3':
    case '4': return "device";
    case '5': return "folder";
    case '6': return "fifo";
  }
  return "unknown";
}

Json files_shape(const environment::VersionDiff& diff) {
  Json out;
  std::uint64_t all = 0;
  for (const auto change : environment::kChanges) {
    auto total = diff.totals.find(change);
    const auto counted = total == diff.totals.end() ? environment::VersionDiff::Total{} : total->second;
    out[std::string(to_string(change))] = {{"count", counted.files}, {"bytes", counted.bytes}};
    all += counted.files;
  }
  out["left_out"] = all - diff.files.size();
  Json list = Json::array();
  for (const auto& file : diff.files)
    list.push_back({{"change", to_string(file.change)}, {"path", file.path}, {"type", file_type(file.type)},
                    {"size_a", or_null(file.a_bytes)}, {"size_b", or_null(file.b_bytes)}, {"differs", file.differs}});
  out["list"] = std::move(list);
  return out;
}

Json packages_shape(const environment::VersionDiff& diff) {
  Json out = Json::object();
  for (const auto& [manager, changes] : diff.packages) {
    Json added = Json::array(), removed = Json::array(), upgraded = Json::array();
    for (const auto& p : changes) {
      Json one = {{"name", p.name}};
      if (p.from.empty() || p.to.empty()) one["version"] = p.from.empty() ? p.to : p.from;
      else one["from"] = p.from, one["to"] = p.to;
      if (!p.where.empty()) one["where"] = p.where;
      (p.from.empty() ? added : p.to.empty() ? removed : upgraded).push_back(std::move(one));
    }
    out[std::string(to_string(manager))] = {{"added", std::move(added)}, {"removed", std::move(removed)}, {"upgraded", std::move(upgraded)}};
  }
  return out;
}

const char* index_word(host::VerifiedVersion::Index index) {
  switch (index) {
    case host::VerifiedVersion::Index::unchanged: return "ok";
    case host::VerifiedVersion::Index::rewritten: return "rewritten";
    case host::VerifiedVersion::Index::not_written: break;
  }
  return "not written";
}

// Less than a disk gives: then the processors of the nodes are faster than the way to them. Of a few MB nothing can be told.
std::optional<std::string> compression_advice(const host::Verification& done, const std::string& compression) {
  constexpr std::uint64_t kEnough = 64u << 20;
  constexpr double kSlow = 200e6;
  const double seconds = std::chrono::duration<double>(done.reading).count();
  if (compression != "none" || done.read_bytes < kEnough || static_cast<double>(done.read_bytes) > kSlow * seconds) return std::nullopt;
  return "The share gives " + human_bytes(static_cast<std::uint64_t>(static_cast<double>(done.read_bytes) / seconds)) +
         " per second. With [docker] compression = \"gzip\" new layers are smaller there, and nodes load them sooner.";
}

Json verified_shape(const host::Verification& done, const host::Nodes& nodes, const std::string& compression) {
  const auto& verified = done.versions;
  Json list = Json::array();
  size_t damaged = 0;
  for (const auto& one : verified) {
    const bool whole = one.damage.empty();
    damaged += whole ? 0 : 1;
    Json row = {{"environment", one.environment}};
    row.update(version_shape(one.version));
    row["state"] = whole ? "ok" : "damaged";
    row["reason"] = or_null(one.damage);
    row["index"] = whole ? Json(index_word(one.index)) : Json(nullptr);
    row["index_problem"] = or_null(one.index_problem);
    row["signature"] = whole ? Json(environment::to_string(one.signature)) : Json(nullptr);
    row["nodes"] = nodes.holders({one.environment, one.fingerprint});
    list.push_back(std::move(row));
  }
  const auto advice = compression_advice(done, compression);
  return {{"ok", verified.size() - damaged}, {"damaged", damaged}, {"versions", std::move(list)}, {"read_bytes", done.read_bytes},
          {"read_seconds", std::chrono::duration<double>(done.reading).count()}, {"advice", or_null(advice)}};
}

// A number is as good as its digits.
std::optional<std::string> version_field(const nlohmann::json& body) {
  const auto value = field(body, "version");
  if (!value) return std::nullopt;
  if (!value->is_string() && !value->is_number_unsigned()) wrong("version", "a string");
  return value->is_string() ? value->get<std::string>() : value->dump();
}

Json synced_shape(const std::string& name, const environment::Version& version, const std::vector<host::NodeSync>& nodes) {
  Json list = Json::array();
  size_t failed = 0;
  for (const auto& [node, answer] : nodes) {
    failed += answer.ok ? 0 : 1;
    list.push_back({{"hostname", node}, {"ok", answer.ok}, {"message", or_null(answer.message)}, {"tarball", or_null(answer.tarball)},
                    {"loaded", answer.loaded}, {"way", or_null(answer.way)}, {"bytes_read", answer.bytes_read}});
  }
  const auto have = std::to_string(nodes.size() - failed) + " of " + std::to_string(nodes.size());
  Json out = {{"message", have + (nodes.size() == 1 ? " node has" : " nodes have") + " version " + std::to_string(version.timestamp) + " of '" + name + "'."}};
  out.update(version_shape(version));
  out["failed"] = failed;
  out["nodes"] = std::move(list);
  return out;
}

void set_pin(const CallPtr& call, bool pinned) {
  const auto& name = call->parameter("name");
  auto done = call->services.versions.set_pinned(name, call->parameter("version"), pinned);
  Json out = {{"message", "Version " + std::to_string(done.version.timestamp) + " of '" + name + "' " +
                              (pinned ? done.changed ? "is pinned." : "was pinned already." : done.changed ? "is not pinned any more." : "was not pinned.")}};
  out.update(version_shape(done.version));
  out["pinned"] = pinned;
  call->reply(out);
}

}  // namespace

void announce_version(Services& services, const std::string& environment, const std::string& tarball) {
  if (!services.config->docker.preload) return;
  services.slow.post([&services, environment, tarball] { services.warm_up.preload(environment, tarball); });
}

void list_versions(CallPtr call) {
  Json out = Json::array();
  const auto& name = call->parameter("name");
  for (const auto& facts : call->services.versions.list(name)) out.push_back(version_facts_shape(facts, call->services.nodes.holders({name, facts.fingerprint})));
  call->reply(out);
}

void diff_versions(CallPtr call) {
  auto which = [&](const char* key, const char* otherwise) {
    auto it = call->request.query.find(key);
    return it == call->request.query.end() ? std::string(otherwise) : it->second;
  };
  CancelToken in_time;
  in_time.set_deadline(CancelToken::Clock::now() + kDiffTimeout);
  const auto& name = call->parameter("name");
  auto compared = call->services.versions.diff(name, which("a", "previous"), which("b", "newest"), in_time);
  const auto& diff = compared.diff;
  call->reply({{"environment", name},
               {"a", version_shape(compared.a)},
               {"b", version_shape(compared.b)},
               {"layers", {{"shared", layers_shape(diff.shared)}, {"only_a", layers_shape(diff.only_a)}, {"only_b", layers_shape(diff.only_b)}}},
               {"packages", packages_shape(diff)},
               {"files", files_shape(diff)},
               {"notes", diff.notes}});
}

void pin_version(CallPtr call) { set_pin(call, true); }
void unpin_version(CallPtr call) { set_pin(call, false); }

void delete_tar(CallPtr call) {
  auto body = call->body();
  const host::Versions::Removal removal{.which = version_field(body), .all = flag(body, "all").value_or(false), .force = flag(body, "force").value_or(false)};
  const auto& name = call->parameter("name");
  auto deleted = call->services.versions.remove(name, removal);
  Json list = Json::array();
  for (const auto& version : deleted) list.push_back(version_shape(version));
  const auto what = deleted.size() == 1 ? "Version " + std::to_string(deleted.front().timestamp) : std::to_string(deleted.size()) + " versions";
  call->reply({{"message", what + " of '" + name + "' deleted."}, {"deleted", std::move(list)}});
}

void roll_back(CallPtr call) {
  auto body = call->body();
  const bool container = flag(body, "container").value_or(false);
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
    const auto& name = call->parameter("name");
    auto& services = call->services;
    const auto wanted = services.versions.find(name, call->parameter("version"));
    const auto done = services.environments.roll_back(environment::EnvironmentName::parse(name), wanted, container, progress);
    if (!done.was_newest) announce_version(services, name, done.version.tarball);
    std::string message = done.was_newest ? "Version " + std::to_string(wanted.timestamp) + " of '" + name + "' is the newest already."
                                          : "'" + name + "' is back at version " + std::to_string(wanted.timestamp) + ", which is now " + std::to_string(done.version.timestamp) + ".";
    if (!done.was_newest && done.signature != environment::SignatureState::valid) message += " The host does not vouch for it: its signature is " + std::string(environment::to_string(done.signature)) + ".";
    if (container) message += " Its container was made again from it.";
    Json out = {{"message", message}, {"from", version_shape(wanted)}};
    out.update(version_shape(done.version));
    out["container"] = done.container;
    out["pruned"] = done.pruned;
    return {200, out};
  });
}

// Reads the whole archive, so it ends when nobody waits for it any more.
void sign_version(CallPtr call) {
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken& client_gone) -> std::pair<int, Json> {
    const auto& name = call->parameter("name");
    const auto done = call->services.versions.sign(name, call->parameter("version"), progress, client_gone);
    Json out = {{"message", "Version " + std::to_string(done.version.timestamp) + " of '" + name + (done.changed ? "' is signed by this host now." : "' was signed by this host already.")}};
    out.update(version_shape(done.version));
    out["key"] = call->services.version_keys.own().id();
    return {200, out};
  });
}

void version_keys(CallPtr call) {
  const auto& keys = call->services.version_keys;
  const auto shape = [](const PublicKey& key) { return Json{{"id", key.id()}, {"public", key.str()}}; };
  Json believed = Json::array();
  for (const auto& key : keys.trusted()->all()) believed.push_back(shape(key));
  call->reply({{"signing", shape(keys.own())}, {"believed", std::move(believed)}});
}

void sync_version(CallPtr call) {
  auto body = call->body();
  const auto which = version_field(body);
  const auto node_names = texts(body, "nodes");
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
    const auto& name = call->parameter("name");
    const auto version = call->services.versions.find(name, which.value_or("newest"));
    const host::SyncOrder order{.environment = name, .tarball = version.tarball, .exact = which && *which != "newest"};
    return {200, synced_shape(name, version, call->services.warm_up.sync(order, node_names, progress))};
  });
}

// Changes nothing but indexes, so it ends when nobody waits for it any more.
void verify_versions(CallPtr call) {
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken& client_gone) -> std::pair<int, Json> {
    std::optional<std::string> name;
    if (call->parameters.contains("name")) name = call->parameter("name");
    return {200, verified_shape(call->services.versions.verify(name, progress, client_gone), call->services.nodes, call->services.config->docker.compression)};
  });
}

}  // namespace riverbox::api
