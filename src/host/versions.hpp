// The versions of environments on the share: what they are, how they differ, which stay, whether they are whole. All calls block.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/time.hpp"
#include "environment/pins.hpp"
#include "environment/share.hpp"
#include "environment/version_diff.hpp"
#include "host/environments.hpp"
#include "host/version_keys.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

struct VersionFacts {
  environment::Version version;
  bool newest = false, pinned = false;
  std::string problem;  // why the archive cannot be read; then nothing below is known
  WallTime created{};   // of the image
  size_t layers = 0;
  std::uint64_t own_bytes = 0;  // of the layers that the next older version does not have
  std::string fingerprint;      // of the image, as nodes name what they hold
  environment::SignatureState signature = environment::SignatureState::none;
};

struct VersionComparison {
  environment::Version a, b;
  environment::VersionDiff diff;
};

struct VerifiedVersion {
  std::string environment;
  environment::Version version;
  std::string damage;  // empty: whole
  enum class Index { unchanged, rewritten, not_written } index = Index::unchanged;
  std::string index_problem;  // not_written: why
  std::string fingerprint;    // of the image; empty when it is damaged
  environment::SignatureState signature = environment::SignatureState::none;
};

// "There are 1795302612 (newest), 1795302000 and 3 older ones." Needs one at least.
std::string those_there_are(const std::vector<environment::Version>& versions);

struct Verification {
  std::vector<VerifiedVersion> versions;
  std::uint64_t read_bytes = 0;
  std::chrono::nanoseconds reading{0};  // waiting for the share
};

class Versions {
public:
  // `keys` null: nothing is signed.
  Versions(environment::Share share, store::TaskRepository& tasks, TellEvent tell, const VersionKeys* keys = nullptr)
      : share_(std::move(share)), pins_(share_), tasks_(tasks), tell_(std::move(tell)), keys_(keys) {}

  // Newest first. Throws NotFound when there is none.
  std::vector<VersionFacts> list(const std::string& name) const;
  // `which`: "newest", "previous", the number, the tarball, or the first digits of the image ID. Throws NotFound and InvalidInput, both with the
  // versions there are.
  environment::Version find(const std::string& name, const std::string& which) const;
  VersionComparison diff(const std::string& name, const std::string& a, const std::string& b, const CancelToken& cancel) const;

  struct Pinned {
    environment::Version version;
    bool changed = false;
  };
  Pinned set_pinned(const std::string& name, const std::string& which, bool pinned);
  // Why this version must stay: it is pinned, being read, or a task that is not finished wants it. Empty: nothing speaks against its going.
  std::string reason_to_stay(const EnvironmentName& name, const environment::Version& version, bool newest) const;

  struct Signed {
    environment::Version version;
    bool changed = false;  // else it was signed with the host's key before
  };
  // The host vouches for a version that somebody else has made. Every byte is read and compared before. Throws BadData for one that is damaged, Conflict when the host has no key, Cancelled.
  Signed sign(const std::string& name, const std::string& which, const StepCallback& progress, const CancelToken& cancel);

  struct Removal {
    std::optional<std::string> which;  // nullopt: the only one there is
    bool all = false, force = false;
  };
  // Throws Conflict when one of them is pinned or in use, unless forced; then none is removed.
  std::vector<environment::Version> remove(const std::string& name, const Removal& removal);

  // Of the image in this archive, as nodes name what they hold; empty when it cannot be read.
  std::string fingerprint(const std::string& tarball);

  // Every byte of every archive, of one environment or of all; indexes that are missing or wrong are written anew. What is damaged is reported
  // and left as it is. Throws Cancelled.
  Verification verify(const std::optional<std::string>& name, const StepCallback& progress, const CancelToken& cancel) const;

private:
  environment::SignatureState signature_of(const EnvironmentName& name, const environment::Version& version, const environment::Archive& archive) const;
  // False: it was deleted meanwhile.
  bool verify_one(VerifiedVersion& one, const environment::ReadWatch& watch, const CancelToken& cancel) const;

  environment::Share share_;
  environment::Pins pins_;
  store::TaskRepository& tasks_;
  TellEvent tell_;
  const VersionKeys* const keys_;
  std::mutex fingerprints_mutex_;
  std::map<std::string, std::string> fingerprints_;  // by tarball: a version never changes
  std::mutex changing_;  // pins and removals: a version that is being pinned is not removed
};

}  // namespace riverbox::host
