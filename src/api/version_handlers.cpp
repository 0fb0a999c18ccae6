// The versions of environments on the share.
#include "api/handlers.hpp"
#include "api/progress.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"

namespace riverbox::api {
namespace {

constexpr auto kDiffTimeout = std::chrono::minutes(5);

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json version_shape(const environment::Version& v) {
  return {{"timestamp", v.timestamp}, {"tarball", v.tarball}, {"size_bytes", v.size_bytes}, {"image_id", text_or_null(v.image_id)}};
}

Json version_facts_shape(const host::VersionFacts& facts) {
  const bool known = facts.problem.empty();
  Json out = version_shape(facts.version);
  out["created"] = known ? Json(to_rfc3339(facts.created)) : Json(nullptr);
  out["layers"] = known ? Json(facts.layers) : Json(nullptr);
  out["own_bytes"] = known ? Json(facts.own_bytes) : Json(nullptr);
  out["pinned"] = facts.pinned;
  out["newest"] = facts.newest;
  out["problem"] = text_or_null(facts.problem);
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

template <class T>
Json value_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
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
                    {"size_a", value_or_null(file.a_bytes)}, {"size_b", value_or_null(file.b_bytes)}, {"differs", file.differs}});
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

Json verified_shape(const std::vector<host::VerifiedVersion>& verified) {
  Json list = Json::array();
  size_t damaged = 0;
  for (const auto& one : verified) {
    const bool whole = one.damage.empty();
    damaged += whole ? 0 : 1;
    Json row = {{"environment", one.environment}};
    row.update(version_shape(one.version));
    row["state"] = whole ? "ok" : "damaged";
    row["reason"] = text_or_null(one.damage);
    row["index"] = whole ? Json(index_word(one.index)) : Json(nullptr);
    row["index_problem"] = text_or_null(one.index_problem);
    list.push_back(std::move(row));
  }
  return {{"ok", verified.size() - damaged}, {"damaged", damaged}, {"versions", std::move(list)}};
}

bool flag_field(const nlohmann::json& body, const char* name) {
  auto it = body.find(name);
  if (it == body.end() || it->is_null()) return false;
  if (!it->is_boolean()) throw InvalidInput("field '" + std::string(name) + "' must be true or false");
  return it->get<bool>();
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

void list_versions(CallPtr call) {
  Json out = Json::array();
  for (const auto& facts : call->services.versions.list(call->parameter("name"))) out.push_back(version_facts_shape(facts));
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
  host::Versions::Removal removal{.which = std::nullopt, .all = flag_field(body, "all"), .force = flag_field(body, "force")};
  if (auto it = body.find("version"); it != body.end() && !it->is_null()) {
    if (!it->is_string() && !it->is_number_unsigned()) throw InvalidInput("field 'version' must be a string");
    removal.which = it->is_string() ? it->get<std::string>() : it->dump();
  }
  const auto& name = call->parameter("name");
  auto deleted = call->services.versions.remove(name, removal);
  Json list = Json::array();
  for (const auto& version : deleted) list.push_back(version_shape(version));
  const auto what = deleted.size() == 1 ? "Version " + std::to_string(deleted.front().timestamp) : std::to_string(deleted.size()) + " versions";
  call->reply({{"message", what + " of '" + name + "' deleted."}, {"deleted", std::move(list)}});
}

// Changes nothing but indexes, so it ends when nobody waits for it any more.
void verify_versions(CallPtr call) {
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken& client_gone) -> std::pair<int, Json> {
    std::optional<std::string> name;
    if (call->parameters.contains("name")) name = call->parameter("name");
    auto verified = call->services.versions.verify(name, progress, client_gone);
    call->services.environments.forget_image_ids();  // an index may have been repaired
    return {200, verified_shape(std::move(verified))};
  });
}

}  // namespace riverbox::api
