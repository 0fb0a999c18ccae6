#include "environment/sync.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/leases.hpp"
#include "environment/version_choice.hpp"

namespace riverbox::environment {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPoll{50}, kPatienceWithIndexes{3000};
constexpr size_t kAskedVersions = 16;  // of the host, to find one that the daemon has
constexpr std::chrono::minutes kPreparedFor{5};
constexpr std::chrono::hours kKeptUnasked{1};  // an image of a single version

// A tag in our archive that is not ours, without the docker.io of some writers.
std::optional<std::string> foreign_tag(const Archive& archive, const std::string& tag) {
  for (std::string tagged : archive.repo_tags) {
    if (tagged.starts_with("docker.io/")) tagged.erase(0, 10);
    if (tagged != tag) return tagged;
  }
  return std::nullopt;
}

// Whoever loads such an archive by hand moves a tag of others. Refused before the daemon sees a byte, as a whole: it is not what create-tar writes.
void refuse_foreign_tags(ArchiveFile& file, const std::string& tag, const std::string& tarball) {
  if (foreign_tag(file.archive(), tag) && file.from_index()) file.read_headers();  // an index cannot condemn an archive
  if (const auto foreign = foreign_tag(file.archive(), tag)) {
    throw BadData(fmt::format("archive '{}' would also set the image tag '{}', which is not '{}'", tarball, printable(*foreign, 100), tag),
                  "Package the environment again with create-tar, or import the image by hand with 'docker load'.");
  }
}

// The other versions of the environment, newest first: the daemon may have the image of one of them.
class OtherVersions {
public:
  OtherVersions(const Share& share, EnvironmentName name, std::string tarball) : share_(share), name_(std::move(name)), tarball_(std::move(tarball)) {}
  std::optional<Archive> next() {
    if (!versions_) versions_ = share_.versions(name_);
    while (at_ < versions_->size()) {
      const Version& version = (*versions_)[at_++];
      if (version.tarball == tarball_) continue;
      try {
        ArchiveFile file(share_.place_of(version.tarball), share_.index_place(version.tarball));
        file.read_documents();
        bytes_read_ += file.bytes_read();
        return file.archive();
      } catch (const Error&) {  // pruned or damaged: then it is of no help
      }
    }
    return std::nullopt;
  }
  std::uint64_t bytes_read() const { return bytes_read_; }

private:
  const Share& share_;
  EnvironmentName name_;
  std::string tarball_;
  std::optional<std::vector<Version>> versions_;
  size_t at_ = 0;
  std::uint64_t bytes_read_ = 0;
};

// The reason, and that nothing was lost.
template <class Work>
auto keeping_the_old_image(const std::optional<docker::Image>& old, Work work) {
  try {
    return work();
  } catch (const BadData& error) {
    throw BadData(error.fact() + (old ? "; the old image is still in place" : ""), error.next());
  }
}

void wait_for(const os::Place& file, const CancelToken& cancel) {
  const auto give_up = std::chrono::steady_clock::now() + kPatienceWithIndexes;
  while (!os::stat_beneath(file) && std::chrono::steady_clock::now() < give_up) {
    cancel.check("looking for a signature");
    std::this_thread::sleep_for(kPoll);
  }
}

bool is_mounted(const Share& share) {
  const auto st = os::stat_beneath(share.folder());
  return st && S_ISDIR(st->st_mode);
}

bool vanished(const IoError& error) { return error.error_number() == ENOENT || error.error_number() == ESTALE; }

}  // namespace

struct Syncer::Flight {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  SyncProgress progress{"checking", 0, 0};
  SyncResult result;
  std::exception_ptr error;

  // The result; nullopt: the leader's caller gave up, which is no answer for anybody else.
  std::optional<SyncResult> wait(const CancelToken& cancel, const SyncCallback& report) {
    std::unique_lock lock(mutex);
    std::uint64_t told_bytes = 0;
    std::string told_step;
    while (!done) {
      if (progress.step != told_step || progress.bytes != told_bytes) {
        const SyncProgress now = progress;
        told_step = now.step;
        told_bytes = now.bytes;
        lock.unlock();
        report(now);
        lock.lock();
        continue;
      }
      changed.wait_for(lock, kPoll);
      lock.unlock();
      cancel.check("waiting for an environment to be loaded");
      lock.lock();
    }
    if (!error) return result;
    try {
      std::rethrow_exception(error);
    } catch (const Cancelled&) {
      return std::nullopt;
    } catch (const Timeout&) {
      return std::nullopt;
    }
  }
};

Syncer::Syncer(docker::Engine& engine, docker::Naming naming, Share share, SyncOptions options)
    : engine_(engine), naming_(std::move(naming)), share_(std::move(share)), options_(std::move(options)), present_(engine, options_.memory) {}

bool Syncer::needs_sync(const std::optional<docker::Image>& local, const Identity& wanted) { return !local || !is_image_of(*local, wanted); }

SyncResult Syncer::ensure(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress) {
  return fulfil({name, hint, false, naming_.environment_image(name.str())}, cancel, progress);
}

SyncResult Syncer::ensure_exactly(const EnvironmentName& name, const std::string& tarball, const CancelToken& cancel, const SyncCallback& progress) {
  const auto parsed = Share::parse_file_name(tarball);
  if (!parsed || parsed->first != name) throw InvalidInput(fmt::format("'{}' is no version of environment '{}'", printable(tarball, 200), name.str()));
  const Order order{name, tarball, true, naming_.environment_image(name.str(), std::to_string(parsed->second))};
  {
    const std::lock_guard lock(mutex_);
    asked_for_[order.tag] = std::chrono::steady_clock::now();
  }
  return fulfil(order, cancel, progress);
}

SyncResult Syncer::fulfil(const Order& order, const CancelToken& cancel, const SyncCallback& progress) {
  const auto announced = Share::parse_file_name(order.tarball);
  for (;;) {
    cancel.check("syncing an environment");
    std::shared_ptr<Flight> flight;
    bool leader = false;
    {
      const std::lock_guard lock(mutex_);
      auto& slot = flights_[order.tag];
      if (!slot) {
        slot = std::make_shared<Flight>();
        leader = true;
      }
      flight = slot;
    }
    if (!leader) {
      const auto result = flight->wait(cancel, progress);
      if (!result) continue;
      // The load began before our version was announced: look again.
      const auto got = Share::parse_file_name(result->tarball);
      if (announced && announced->first == order.name && got && got->second < announced->second) continue;
      return *result;
    }

    SyncResult result;
    std::exception_ptr error;
    try {
      result = sync_now(order, cancel, [&](const SyncProgress& now) {
        {
          const std::lock_guard lock(flight->mutex);
          flight->progress = now;
        }
        flight->changed.notify_all();
        progress(now);
      });
    } catch (...) {
      error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      flights_.erase(order.tag);
    }
    {
      const std::lock_guard lock(flight->mutex);
      flight->done = true;
      flight->result = result;
      flight->error = error;
    }
    flight->changed.notify_all();
    if (error) std::rethrow_exception(error);
    return result;
  }
}

SyncResult Syncer::sync_now(const Order& order, const CancelToken& cancel, const SyncCallback& progress) {
  const log::Scope scope("environment", order.name.str());
  if (!options_.host) return sync_from_share(order, cancel, progress);
  std::exception_ptr trouble;
  std::string why = fmt::format("'{}' does not exist", share_.dir().string());
  try {
    if (is_mounted(share_)) return sync_from_share(order, cancel, progress);
  } catch (const NotFound& error) {
    trouble = std::current_exception();
    why = error.fact();
  } catch (const IoError& error) {
    trouble = std::current_exception();
    why = error.fact();
  }
  log::info("environment", "the share has no usable archive; asking the host's registry", {{"environment", order.name.str()}, {"reason", why}});
  try {
    return sync_from_host(order, cancel, progress);
  } catch (const Error& error) {
    const bool not_to_be_had = error.kind() == ErrorKind::not_found || error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::unauthorized;
    if (!not_to_be_had || dynamic_cast<const docker::DockerError*>(&error)) throw;
    if (trouble) {  // which knows the names that there are
      log::warning("environment", "the host's registry does not have it either", {{"environment", order.name.str()}, {"reason", error.fact()}});
      std::rethrow_exception(trouble);
    }
    throw Error(error.kind(), fmt::format("{}, and from the host: {}", why, error.fact()), error.next());
  }
}

SyncResult Syncer::sync_from_share(const Order& order, const CancelToken& cancel, const SyncCallback& progress) {
  for (bool again = false;; again = true) {
    progress({"checking", 0, 0});
    const Version version = order.exactly ? choose_exactly(share_, order.name, order.tarball, cancel) : choose_newest(share_, order.name, order.tarball, cancel);
    try {
      const std::optional<docker::Image> local = engine_.find_image(order.tag);
      return keeping_the_old_image(local, [&] { return sync_version(order, version, local, cancel, progress); });
    } catch (const IoError& error) {
      // Pruned between the listing and the reading: a newer version is there.
      if (again || !vanished(error)) throw;
    }
  }
}

SyncResult Syncer::sync_version(const Order& order, const Version& version, const std::optional<docker::Image>& local, const CancelToken& cancel,
                                const SyncCallback& progress) {
  // NFS may show the archive before what was there first.
  if (options_.signatures.requires_signature()) wait_for(share_.index_place(version.tarball), cancel);
  ArchiveFile file(share_.place_of(version.tarball), share_.index_place(version.tarball));
  std::optional<Lease> lease;  // from the first byte of a load on: most often there is nothing to load
  OtherVersions others(share_, order.name, version.tarball);
  auto result = sync_file(order, version.tarball, file, [&] { return others.next(); }, local, cancel, [&](const SyncProgress& now) {
    if (lease) lease->renew();
    else lease.emplace(share_, version.tarball);
    progress(now);
  });
  result.bytes_read += others.bytes_read();
  return result;
}

SyncResult Syncer::sync_from_host(const Order& order, const CancelToken& cancel, const SyncCallback& progress) {
  const auto version = Share::parse_file_name(order.tarball);
  const std::string which = order.exactly && version ? std::to_string(version->second) : "latest";
  for (bool again = false;; again = true) {
    progress({"checking", 0, 0});
    const auto file = options_.host->open(order.name, which, cancel);
    std::optional<std::vector<std::int64_t>> versions;
    size_t at = 0;
    const auto next = [&]() -> std::optional<Archive> {
      if (!versions) versions = options_.host->versions(order.name, cancel);
      while (at < std::min(versions->size(), kAskedVersions)) {
        const auto version = (*versions)[at++];
        if (Share::file_name(order.name, version) == file->tarball()) continue;
        try {
          return options_.host->open(order.name, std::to_string(version), cancel)->archive();
        } catch (const NotFound&) {  // pruned meanwhile
        } catch (const BadData&) {
        }
      }
      return std::nullopt;
    };
    try {
      const std::optional<docker::Image> local = engine_.find_image(order.tag);
      return keeping_the_old_image(local, [&] { return sync_file(order, file->tarball(), *file, next, local, cancel, progress); });
    } catch (const NotFound&) {
      if (again) throw;  // pruned while its blobs were fetched: there is a newer one
    }
  }
}

SyncResult Syncer::sync_file(const Order& order, const std::string& tarball, ArchiveFile& file, const NextKnownVersion& others,
                             const std::optional<docker::Image>& local, const CancelToken& cancel, const SyncCallback& progress) {
  SyncResult result;
  result.tarball = tarball;
  if (options_.signatures.is_signed_without_manifest(tarball, file.archive()) && !file.is_complete_tar()) file.forget_manifest();
  const auto is_up_to_date = [&] {
    result.bytes_read = file.bytes_read();
    if (is_ours(local, file.archive())) {
      result.image_id = local->id;
    } else if (order.exactly) {  // most often the newest one is asked for by its number
      const auto newest = engine_.find_image(naming_.environment_image(order.name.str()));
      if (is_ours(newest, file.archive())) result.image_id = newest->id;
    }
    if (!result.image_id.empty() && options_.signatures.requires_signature()) options_.signatures.pass(tarball, file.archive());
    return !result.image_id.empty();
  };
  if (is_up_to_date()) return result;
  file.read_documents();  // the index was good enough to say "no", but may have lied
  if (is_up_to_date()) return result;
  refuse_foreign_tags(file, naming_.environment_image(order.name.str()), tarball);

  const auto begun = std::chrono::steady_clock::now();
  untag_arrivals(order.name);  // before another image takes the tag of theirs: with its last tag an image goes
  const LoadReport report = Loader(engine_, present_, order.tag, local, options_.signatures).load(file, others, cancel, progress);
  {
    const std::lock_guard lock(mutex_);
    untidy_.insert(order.name);
    arrivals_[order.name].push_back(report.arrival_tag);
    if (!order.exactly && local && local->id != report.image.id) {
      // Somebody may be about to create a container from the image that was just replaced: the one before it goes instead.
      const std::string outdated = std::exchange(retired_[order.name], local->id);
      if (!outdated.empty() && outdated != local->id) outdated_.push_back(outdated);
    }
  }
  result.image_id = report.image.id;
  result.loaded = true;
  result.way = report.thin ? "thin" : "full";
  result.layers_left_out = report.layers_left_out;
  result.bytes_read = file.is_complete_tar() ? file.bytes_read() + report.layer_bytes : file.bytes_read();
  for (const Layer& layer : file.archive().layers) result.layer_bytes_left_out += layer.size_bytes;
  result.layer_bytes_sent = std::min(report.layer_bytes, result.layer_bytes_left_out);
  result.layer_bytes_left_out -= result.layer_bytes_sent;
  result.took = std::chrono::steady_clock::now() - begun;
  if (options_.loaded) options_.loaded(result);
  return result;
}

// Where signatures are required, what the image does when it runs counts as well, not only its files: an image may be from before they were. A containerd store tells of it only
// where there is an OCI manifest.
bool Syncer::is_ours(const std::optional<docker::Image>& image, const Archive& archive) {
  if (needs_sync(image, archive.identity)) return false;
  if (!options_.signatures.requires_signature() || image->id == archive.config_digest || image->id == archive.manifest_digest) return true;
  return archive.manifest_digest.empty() && engine_.containerd_store();
}

void Syncer::tidy_up() {
  std::set<EnvironmentName> names;
  std::vector<std::string> outdated;
  {
    const std::lock_guard lock(mutex_);
    names.swap(untidy_);
    outdated.swap(outdated_);
  }
  // An environment that has changed is likely to change again soon.
  if (names.empty()) engine_.end_prepared_load(kPreparedFor);
  else engine_.prepare_load(stream_beginning());
  for (const EnvironmentName& name : names) untag_arrivals(name);
  if (options_.remove_superseded) {
    for (const std::string& image : outdated) engine_.remove_unused_image(image);
  }
  for (const EnvironmentName& name : names) {
    try {
      Loader::sweep(engine_, naming_.environment_image(name.str(), ""));
      if (options_.remove_superseded) remove_old_versions(name);
    } catch (const docker::DockerError& error) {
      log::debug("environment", "cannot tidy up after a load", {{"environment", name.str()}, {"reason", error.fact()}});
    }
  }
}

void Syncer::untag_arrivals(const EnvironmentName& name) {
  std::vector<std::string> tags;
  {
    const std::lock_guard lock(mutex_);
    tags.swap(arrivals_[name]);
  }
  for (const std::string& tag : tags) Loader::untag(engine_, tag);
}

// Images of single versions that nobody has asked for lately. The engine keeps those that a container uses.
void Syncer::remove_old_versions(const EnvironmentName& name) {
  const std::string start = naming_.environment_image(name.str(), "");
  const auto now = std::chrono::steady_clock::now();
  const auto is_wanted = [&](const std::string& tag) {
    const std::lock_guard lock(mutex_);
    const auto asked = asked_for_.find(tag);
    if (asked == asked_for_.end()) return false;
    if (now - asked->second < kKeptUnasked) return true;
    asked_for_.erase(asked);
    return false;
  };
  const auto remove = [&](const std::string& tag) {
    try {
      engine_.untag_image(tag);
    } catch (const docker::DockerError& error) {
      log::debug("environment", "an old version stays", {{"image", tag}, {"reason", error.fact()}});
    }
  };
  for (const docker::Image& image : engine_.list_images_tagged(start + "*")) {
    for (const std::string& tag : image.tags) {
      if (tag.starts_with(start) && parse_u64(std::string_view(tag).substr(start.size())) && !is_wanted(tag)) remove(tag);
    }
  }
}

}  // namespace riverbox::environment
