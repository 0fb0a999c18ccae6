#include "host/versions.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/holdings.hpp"
#include "environment/leases.hpp"

namespace riverbox::host {
namespace {

using environment::Version;

constexpr size_t kListedVersions = 8;  // in an error message
constexpr size_t kMinIdDigits = 4;

std::vector<Version> versions_of(const environment::Share& share, const EnvironmentName& name) {
  auto versions = share.versions(name);
  if (versions.empty())
    throw NotFound("there is no tarball of environment '" + name.str() + "'", "`hakuriver.docker list-tars` shows those there are.");
  return versions;
}

std::string image_id_of(const environment::Share& share, const Version& version) {
  if (!version.image_id.empty()) return version.image_id;
  try {
    return environment::read_archive(share.place_of(version.tarball)).config_digest;
  } catch (const Error&) {
    return {};  // damaged, or gone meanwhile: it has no ID by which it could be meant
  }
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

const Version& choose(const environment::Share& share, const EnvironmentName& name, const std::vector<Version>& versions, const std::string& which) {
  const auto no_such = [&] {
    return NotFound(fmt::format("environment '{}' has no version '{}'", name.str(), printable(which, 100)), those_there_are(versions));
  };
  if (which == "newest") return versions.front();
  if (which == "previous") {
    if (versions.size() < 2) throw NotFound(fmt::format("environment '{}' has only one version", name.str()), those_there_are(versions));
    return versions[1];
  }
  std::vector<const Version*> found;
  const auto number = parse_i64(which);
  for (const Version& v : versions)
    if (v.tarball == which || (number && v.timestamp == *number)) found.push_back(&v);
  if (found.empty()) {
    std::string_view digits = which;
    if (digits.starts_with("sha256:")) digits.remove_prefix(7);
    if (digits.size() < kMinIdDigits || digits.size() > 64 || !is_hex(digits)) {
      if (number || environment::Share::parse_file_name(which)) throw no_such();
      throw InvalidInput(fmt::format("'{}' is no version: give its number, its tarball, newest, previous, or the first digits of its image ID",
                                     printable(which, 100)), those_there_are(versions));
    }
    for (const Version& v : versions)
      if (image_id_of(share, v).starts_with("sha256:" + std::string(digits))) found.push_back(&v);
  }
  if (found.empty()) throw no_such();
  if (found.size() > 1)
    throw InvalidInput(fmt::format("'{}' means more than one version of environment '{}': {} and {}", printable(which, 100), name.str(),
                                   found[0]->tarball, found[1]->tarball), "Give more digits, or the name of the tarball.");
  return *found.front();
}

bool same_layers(const std::vector<environment::Layer>& a, const std::vector<environment::Layer>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const environment::Layer& x, const environment::Layer& y) {
    return x.member == y.member && x.diff_id == y.diff_id && x.offset == y.offset && x.size_bytes == y.size_bytes && x.compressed == y.compressed;
  });
}

// All that an index holds.
bool same_facts(const environment::Archive& a, const environment::Archive& b) {
  const auto same_span = [](const environment::Span& x, const environment::Span& y) { return x.offset == y.offset && x.size_bytes == y.size_bytes; };
  return a.config_digest == b.config_digest && a.identity == b.identity && a.repo_tags == b.repo_tags && a.size_bytes == b.size_bytes &&
         a.architecture == b.architecture && a.os == b.os && a.manifest_digest == b.manifest_digest && same_span(a.config, b.config) &&
         same_span(a.manifest, b.manifest) && same_layers(a.layers, b.layers);
}

// An index that is older than its archive counts for nothing (docs/archive-format.md).
bool is_younger(const environment::Share& share, const std::string& tarball) {
  const auto changed = [](const struct stat& st) { return std::pair(st.st_mtim.tv_sec, st.st_mtim.tv_nsec); };
  const auto tar = os::stat_beneath(share.place_of(tarball)), index = os::stat_beneath(share.index_place(tarball));
  return tar && index && changed(*tar) > changed(*index);
}

}  // namespace

std::string those_there_are(const std::vector<Version>& versions) {
  std::vector<std::string> names;
  for (const Version& v : versions) {
    if (names.size() == kListedVersions) break;
    names.push_back(std::to_string(v.timestamp));
  }
  names.front() += " (newest)";
  const size_t more = versions.size() - names.size();
  return fmt::format("There {} {}{}.", versions.size() == 1 ? "is" : "are", join(names, ", "), more ? fmt::format(" and {} older ones", more) : "");
}

std::vector<VersionFacts> Versions::list(const std::string& text) const {
  const auto name = EnvironmentName::parse(text);
  std::vector<VersionFacts> out;
  std::optional<environment::Archive> younger;  // of the last readable row
  size_t younger_row = 0;
  const auto own_bytes = [](const environment::Archive& archive, size_t shared) {
    std::uint64_t bytes = 0;
    for (size_t i = shared; i < archive.layers.size(); ++i) bytes += archive.layers[i].size_bytes;
    return bytes;
  };
  for (const Version& version : versions_of(share_, name)) {
    VersionFacts facts{.version = version, .newest = out.empty(), .pinned = pins_.is_pinned(version)};
    try {
      auto archive = environment::open_archive(share_.place_of(version.tarball), share_.index_place(version.tarball));
      facts.version.image_id = archive.config_digest;
      facts.created = archive.identity.created;
      facts.fingerprint = environment::fingerprint(archive.identity);
      facts.layers = archive.layers.size();
      facts.signature = signature_of(name, version, archive);
      if (younger) out[younger_row].own_bytes = own_bytes(*younger, environment::common_layers(archive, *younger));
      younger = std::move(archive);
      younger_row = out.size();
    } catch (const IoError& e) {
      if (e.error_number() == ENOENT) continue;  // pruned meanwhile
      facts.problem = e.fact();
    } catch (const BadData& e) {
      facts.problem = e.fact();
    }
    out.push_back(std::move(facts));
  }
  if (younger) out[younger_row].own_bytes = own_bytes(*younger, 0);
  return out;
}

Version Versions::find(const std::string& text, const std::string& which) const {
  const auto name = EnvironmentName::parse(text);
  return choose(share_, name, versions_of(share_, name), which);
}

std::string Versions::fingerprint(const std::string& tarball) {
  constexpr size_t kMany = 1000;
  {
    const std::lock_guard lock(fingerprints_mutex_);
    if (const auto known = fingerprints_.find(tarball); known != fingerprints_.end()) return known->second;
  }
  try {
    std::string found = environment::fingerprint(environment::open_archive(share_.place_of(tarball), share_.index_place(tarball)).identity);
    const std::lock_guard lock(fingerprints_mutex_);
    if (fingerprints_.size() >= kMany) fingerprints_.clear();
    return fingerprints_[tarball] = std::move(found);
  } catch (const Error&) {
    return {};  // the node that shall load it tells why
  }
}

VersionComparison Versions::diff(const std::string& text, const std::string& a, const std::string& b, const CancelToken& cancel) const {
  const auto name = EnvironmentName::parse(text);
  const auto versions = versions_of(share_, name);
  VersionComparison out{.a = choose(share_, name, versions, a), .b = choose(share_, name, versions, b), .diff = {}};
  for (Version* version : {&out.a, &out.b}) version->image_id = image_id_of(share_, *version);
  out.diff = environment::diff_archives(share_.place_of(out.a.tarball), share_.place_of(out.b.tarball), {}, cancel);
  return out;
}

Versions::Pinned Versions::set_pinned(const std::string& text, const std::string& which, bool pinned) {
  const auto name = EnvironmentName::parse(text);
  std::lock_guard lock(changing_);
  const Version version = choose(share_, name, versions_of(share_, name), which);
  const bool changed = pinned ? pins_.pin(version) : pins_.unpin(version);
  if (changed) {
    log::info("host", pinned ? "version pinned" : "version unpinned", {{"environment", name.str()}, {"tarball", version.tarball}});
    tell_(pinned ? "pinned" : "unpinned", name.str(), version.tarball);
  }
  return {version, changed};
}

std::string Versions::reason_to_stay(const EnvironmentName& name, const Version& version, bool newest) const {
  if (pins_.is_pinned(version)) return fmt::format("version {} of '{}' is pinned", version.timestamp, name.str());
  for (const auto& task : tasks_.unfinished_of(name.str())) {
    const bool wanted = task.spec.exact ? task.spec.tarball == version.tarball : newest;  // the others take the newest there is
    if (wanted) return fmt::format("version {} of '{}' is in use: task {} is {}", version.timestamp, name.str(), task.spec.id.str(), to_string(task.state));
  }
  if (const auto reader = environment::lease_holder(share_, version.tarball))  // also one that loads it for such a task: then the task is the reason
    return fmt::format("version {} of '{}' is being read by {}", version.timestamp, name.str(), printable(*reader, 100));
  return {};
}

environment::SignatureState Versions::signature_of(const EnvironmentName& name, const Version& version, const environment::Archive& archive) const {
  return keys_ ? keys_->trusted()->examine(name, version.timestamp, archive) : environment::SignatureState::none;
}

Versions::Signed Versions::sign(const std::string& text, const std::string& which, const StepCallback& progress, const CancelToken& cancel) {
  if (!keys_) throw Conflict("this host has no key");
  const auto name = EnvironmentName::parse(text);
  const Version version = choose(share_, name, versions_of(share_, name), which);
  const os::Place index = share_.index_place(version.tarball);
  auto archive = environment::verify_archive(share_.place_of(version.tarball), cancel, [&](std::uint64_t bytes, std::chrono::nanoseconds) {
    progress({"reading " + version.tarball, bytes, version.size_bytes});
  });
  archive.signature = environment::read_signature(index);
  Signed out{.version = version};
  out.version.image_id = archive.config_digest;
  if (archive.signature && archive.signature->key_id == keys_->own().id() && signature_of(name, version, archive) == environment::SignatureState::valid) return out;
  archive.signature = keys_->sign(name, version.timestamp, archive);
  std::lock_guard lock(changing_);
  if (!os::stat_beneath(share_.place_of(version.tarball))) throw NotFound(fmt::format("'{}' was deleted meanwhile", version.tarball));
  environment::write_index(index, archive);
  out.changed = true;
  log::info("host", "version signed", {{"environment", name.str()}, {"tarball", version.tarball}, {"image", archive.config_digest}, {"key", keys_->own().id()}});
  tell_("signed", name.str(), version.tarball);
  return out;
}

std::vector<Version> Versions::remove(const std::string& text, const Removal& removal) {
  const auto name = EnvironmentName::parse(text);
  std::lock_guard lock(changing_);
  const auto versions = versions_of(share_, name);
  std::vector<Version> chosen;
  if (removal.all) {
    if (removal.which) throw InvalidInput("a version and --all together are a contradiction", "Give one of the two.");
    chosen = versions;
  } else if (removal.which) {
    chosen.push_back(choose(share_, name, versions, *removal.which));
  } else {
    if (versions.size() > 1)
      throw Conflict(fmt::format("environment '{}' has {} versions, so say which", name.str(), versions.size()),
                     those_there_are(versions) + " Give one of them, or --all.");
    chosen = versions;
  }
  if (!removal.force) {
    for (const Version& version : chosen)
      if (const auto reason = reason_to_stay(name, version, version.tarball == versions.front().tarball); !reason.empty())
        throw Conflict(reason, chosen.size() > 1 ? "Nothing was deleted; --force deletes them all the same." : "--force deletes it all the same.");
  }
  // The oldest first: what is interrupted leaves the newest, as pruning would.
  for (auto version = chosen.rbegin(); version != chosen.rend(); ++version) {
    share_.remove(*version);  // the archive goes first; without it the rest means nothing
    pins_.unpin(*version);
    log::info("host", "version deleted", {{"environment", name.str()}, {"tarball", version->tarball}, {"forced", removal.force ? "yes" : "no"}});
    tell_("version_deleted", name.str(), version->tarball);
  }
  return chosen;
}

Verification Versions::verify(const std::optional<std::string>& text, const StepCallback& progress, const CancelToken& cancel) const {
  Verification done;
  auto& out = done.versions;
  std::uint64_t total_bytes = 0, done_bytes = 0;
  const auto take = [&](const EnvironmentName& name, const std::vector<Version>& versions) {
    for (const Version& version : versions) {
      out.push_back({.environment = name.str(), .version = version});
      total_bytes += version.size_bytes;
    }
  };
  if (text) {
    const auto name = EnvironmentName::parse(*text);
    take(name, versions_of(share_, name));
  } else {
    for (const auto& [name, versions] : share_.list()) take(name, versions);
  }
  std::erase_if(out, [&](VerifiedVersion& one) {
    std::uint64_t read_bytes = 0;
    std::chrono::nanoseconds reading{0};
    const auto watch = [&](std::uint64_t bytes, std::chrono::nanoseconds so_far) {
      read_bytes = bytes;
      reading = so_far;
      progress({"verifying " + one.version.tarball, done_bytes + bytes, total_bytes});
    };
    const bool gone = !verify_one(one, watch, cancel);
    done.read_bytes += read_bytes;
    done.reading += reading;
    done_bytes += one.version.size_bytes;
    return gone;
  });
  return done;
}

bool Versions::verify_one(VerifiedVersion& one, const environment::ReadWatch& watch, const CancelToken& cancel) const {
  const log::Scope scope("environment", one.environment);
  const auto tar = share_.place_of(one.version.tarball), index = share_.index_place(one.version.tarball);
  environment::Archive archive;
  try {
    archive = environment::verify_archive(tar, cancel, watch);
  } catch (const BadData& e) {
    one.damage = e.fact();
  } catch (const IoError& e) {
    if (e.error_number() == ENOENT) return false;
    one.damage = e.fact();
  }
  if (!one.damage.empty()) {
    log::error("host", "a version is damaged", {{"tarball", one.version.tarball}, {"reason", one.damage}});
    return true;
  }
  one.version.image_id = archive.config_digest;
  one.fingerprint = environment::fingerprint(archive.identity);
  archive.signature = environment::read_signature(index);
  one.signature = signature_of(EnvironmentName::parse(one.environment), one.version, archive);
  const auto known = environment::read_index(index, archive.size_bytes);
  if (known && same_facts(*known, archive) && !is_younger(share_, one.version.tarball)) return true;
  try {
    environment::write_index(index, archive);
    one.index = VerifiedVersion::Index::rewritten;
  } catch (const IoError& e) {  // a share that is mounted read-only: the archive is as good
    one.index = VerifiedVersion::Index::not_written;
    one.index_problem = e.fact();
  }
  return true;
}

}  // namespace riverbox::host
