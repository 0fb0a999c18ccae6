#include "environment/sync.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

using std::chrono::milliseconds;

constexpr const char* kComponent = "environment";
constexpr std::uint64_t kReadAhead = 16u << 20;
constexpr std::uint64_t kTell = 4u << 20;
constexpr milliseconds kPoll{50};
constexpr milliseconds kPatienceWithNfs{3000};  // a name that is new on the server may be unknown here for a moment

std::string short_digest(const std::string& digest) { return Digest::is_valid(digest) ? Digest::parse(digest).short_hex() : digest; }

// Which fact about the image is not what the archive promised; for the error message.
std::string difference(const docker::Image& image, const Identity& wanted) {
  if (image.diff_ids.size() != wanted.diff_ids.size()) {
    return fmt::format("it has {} layers, the archive {}", image.diff_ids.size(), wanted.diff_ids.size());
  }
  for (size_t i = 0; i < image.diff_ids.size(); ++i) {
    if (image.diff_ids[i] == wanted.diff_ids[i]) continue;
    return fmt::format("layer {} is {}, in the archive it is {}", i + 1, short_digest(image.diff_ids[i]), short_digest(wanted.diff_ids[i]));
  }
  return fmt::format("it was created {}, in the archive {}", to_rfc3339(image.created), to_rfc3339(wanted.created));
}

NotFound no_such_environment(const Share& share, const EnvironmentName& name) {
  std::vector<std::string> names;
  for (const auto& [other, versions] : share.list(false)) names.push_back(other.str());  // throws when there is no share at all
  const std::string fact = fmt::format("there is no environment '{}' in '{}'", name.str(), share.dir().string());
  if (names.empty()) return NotFound(fact, "No environment is packaged yet: make one with create-container, docker-shell and create-tar.");
  std::string next;
  if (const auto close = nearest(name.str(), names)) next = fmt::format("Did you mean '{}'? ", *close);
  constexpr size_t kShown = 20;
  const size_t count = names.size();
  if (count > kShown) names.resize(kShown);
  next += fmt::format("There are: {}{}.", join(names, ", "), count > kShown ? fmt::format(" and {} more", count - kShown) : "");
  return NotFound(fact, next);
}

// The version to bring here. `hint` wins over a listing that does not show it yet.
Version choose_version(const Share& share, const EnvironmentName& name, const std::string& hint, const CancelToken& cancel) {
  const auto announced = Share::parse_file_name(hint);
  const bool usable_hint = announced && announced->first == name;
  if (!hint.empty() && !usable_hint) log::warning(kComponent, "the announced archive is not of this environment", {{"archive", hint}, {"environment", name.str()}});

  const auto give_up = std::chrono::steady_clock::now() + kPatienceWithNfs;
  for (;;) {
    auto newest = share.newest(name);
    if (!usable_hint || (newest && newest->timestamp >= announced->second)) {
      if (!newest) throw no_such_environment(share, name);
      return std::move(*newest);
    }
    struct stat st {};
    if (stat(share.path_of(hint).c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
      return {announced->second, hint, static_cast<std::uint64_t>(st.st_size), {}};
    }
    if (std::chrono::steady_clock::now() >= give_up) {
      throw NotFound(fmt::format("the host has announced '{}', but '{}' does not show it", hint, share.dir().string()),
                     "Check that this node mounts the same share as the host, and [paths] shared_dir.");
    }
    cancel.check("looking for an environment");
    std::this_thread::sleep_for(kPoll);
  }
}

// Tags of others inside our archive would be moved by the load: refused before the daemon sees a byte.
void refuse_foreign_tags(const Archive& archive, const std::string& tag, const std::string& tarball) {
  for (std::string tagged : archive.repo_tags) {
    if (tagged.starts_with("docker.io/")) tagged.erase(0, 10);
    if (tagged == tag) continue;
    throw BadData(fmt::format("archive '{}' would also set the image tag '{}', which is not '{}'", tarball, printable(tagged, 100), tag),
                  "Package the environment again with create-tar, or import the image by hand with 'docker load'.");
  }
}

// Reads an archive for the daemon, and notices when it is not the file that was examined.
class ArchiveSource {
public:
  ArchiveSource(const std::filesystem::path& path, std::uint64_t size_bytes) : path_(path), fd_(os::open_read(path)), size_bytes_(size_bytes) {
    check_size();
    posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  size_t read(char* buffer, size_t size) {
    if (at_ == size_bytes_) {
      check_size();
      return 0;
    }
    if (at_ + kReadAhead / 2 >= ahead_) {  // the share delivers the next part while the daemon takes this one
      posix_fadvise(fd_.get(), static_cast<off_t>(ahead_), static_cast<off_t>(kReadAhead), POSIX_FADV_WILLNEED);
      ahead_ += kReadAhead;
    }
    const auto wanted = static_cast<size_t>(std::min<std::uint64_t>(size, size_bytes_ - at_));
    ssize_t n;
    do n = ::read(fd_.get(), buffer, wanted);
    while (n < 0 && errno == EINTR);
    if (n < 0) throw IoError(fmt::format("read '{}'", path_.string()), errno, "Check the share.");
    if (n == 0) throw changed();
    at_ += static_cast<std::uint64_t>(n);
    return static_cast<size_t>(n);
  }

  std::uint64_t position() const { return at_; }

private:
  BadData changed() const {
    return BadData(fmt::format("archive '{}' was changed while it was read", path_.string()), "Try again when it is complete; create-tar never changes an archive.");
  }
  void check_size() const {
    struct stat st {};
    if (fstat(fd_.get(), &st) != 0) throw IoError(fmt::format("examine '{}'", path_.string()), errno);
    if (static_cast<std::uint64_t>(st.st_size) != size_bytes_) throw changed();
  }

  std::filesystem::path path_;
  os::UniqueFd fd_;
  std::uint64_t size_bytes_, at_ = 0, ahead_ = 0;
};

// One load into one daemon, with the way back.
class Load {
public:
  Load(docker::Engine& engine, const Archive& archive, const std::string& tarball, const std::string& tag, const std::optional<docker::Image>& old)
      : engine_(engine), archive_(archive), tarball_(tarball), tag_(tag), old_(old) {}

  docker::Image run(const std::filesystem::path& path, const CancelToken& cancel, const SyncCallback& progress) {
    try {
      const docker::LoadResult result = send(path, cancel, progress);
      if (!result.error.empty()) refuse(printable(result.error));
      progress({"verifying", archive_.size_bytes, archive_.size_bytes});
      return verify(result);
    } catch (...) {
      restore();
      throw;
    }
  }

private:
  docker::LoadResult send(const std::filesystem::path& path, const CancelToken& cancel, const SyncCallback& progress) {
    ArchiveSource source(path, archive_.size_bytes);
    std::uint64_t told = 0;
    progress({"loading", 0, archive_.size_bytes});
    return engine_.load_image(archive_.size_bytes, [&](char* buffer, size_t size) {
      cancel.check("loading an environment");
      const size_t n = source.read(buffer, size);
      if (source.position() - told >= kTell) {
        told = source.position();
        progress({"loading", told, archive_.size_bytes});
      }
      return n;
    }, cancel);
  }

  // A 200 proves nothing: what counts is the image that is there now, and that the daemon lists it.
  docker::Image verify(const docker::LoadResult& result) {
    auto image = archive_.repo_tags.empty() ? find_untagged(result) : engine_.find_image(tag_);
    if (!image) refuse("the image is not there afterwards");
    if (Syncer::needs_sync(image, archive_.identity)) refuse(difference(*image, archive_.identity));
    if (archive_.repo_tags.empty()) engine_.tag_image(image->id, tag_);
    const auto listed = engine_.list_images_tagged(tag_);
    if (std::none_of(listed.begin(), listed.end(), [&](const docker::Image& other) { return other.id == image->id; })) {
      refuse("the engine does not list the image: parts of it are missing");
    }
    return std::move(*image);
  }

  std::optional<docker::Image> find_untagged(const docker::LoadResult& result) {
    for (const std::string& loaded : result.loaded) {
      if (!loaded.starts_with("sha256:")) continue;
      if (auto image = engine_.find_image(loaded)) return image;
    }
    return engine_.find_image(archive_.config_digest);
  }

  [[noreturn]] void refuse(const std::string& reason) {
    throw docker::ImageImportError(fmt::format("the Docker Engine did not load '{}': {}{}", tarball_, reason, old_ ? "; the old image is still in place" : ""),
                                   "Check the free space of Docker's data root and the engine's log.");
  }

  // The tag back to what it was. Best effort: the error of the load is the one to tell.
  void restore() noexcept {
    try {
      const auto now = engine_.find_image(tag_);
      if (old_ && (!now || now->id != old_->id)) engine_.tag_image(old_->id, tag_);
      // Loaded completely although the caller gave up: good for the next time. Anything else goes.
      if (!old_ && now && Syncer::needs_sync(now, archive_.identity)) engine_.untag_image(tag_);
    } catch (const std::exception& error) {
      try {
        log::warning(kComponent, "cannot restore the image tag", {{"tag", tag_}, {"reason", error.what()}});
      } catch (...) {
      }
    }
  }

  docker::Engine& engine_;
  const Archive& archive_;
  const std::string& tarball_;
  const std::string& tag_;
  const std::optional<docker::Image>& old_;
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

Syncer::Syncer(docker::Engine& engine, docker::Naming naming, Share share)
    : engine_(engine), naming_(std::move(naming)), share_(std::move(share)) {}

bool Syncer::needs_sync(const std::optional<docker::Image>& local, const Identity& wanted) {
  return !local || local->diff_ids != wanted.diff_ids || local->created != wanted.created;
}

SyncResult Syncer::ensure(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress) {
  const auto announced = Share::parse_file_name(hint);
  for (;;) {
    cancel.check("syncing an environment");
    std::shared_ptr<Flight> flight;
    bool leader = false;
    {
      const std::lock_guard lock(mutex_);
      auto& slot = flights_[name];
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
      if (announced && announced->first == name && got && got->second < announced->second) continue;
      return *result;
    }

    SyncResult result;
    std::exception_ptr error;
    try {
      result = sync_now(name, hint, cancel, [&](const SyncProgress& now) {
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
      flights_.erase(name);
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

SyncResult Syncer::sync_now(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress) {
  const std::string tag = naming_.environment_image(name.str());
  for (bool again = false;; again = true) {
    progress({"checking", 0, 0});
    const Version version = choose_version(share_, name, hint, cancel);
    const std::filesystem::path path = share_.path_of(version.tarball);
    try {
      const std::optional<docker::Image> local = engine_.find_image(tag);
      return keeping_the_old_image(local, [&]() -> SyncResult {
        const Archive indexed = open_archive(path, share_.index_path(version.tarball));
        if (!needs_sync(local, indexed.identity)) return {local->id, version.tarball, false, 0};
        // The index was good enough to say "no"; what the daemon is given is judged by the archive itself.
        const Archive archive = read_archive(path);
        if (!needs_sync(local, archive.identity)) return {local->id, version.tarball, false, 0};
        refuse_foreign_tags(archive, tag, version.tarball);
        const docker::Image image = Load(engine_, archive, version.tarball, tag, local).run(path, cancel, progress);
        if (local && local->id != image.id) retire(name, local->id);
        log::info(kComponent, "loaded an environment", {{"archive", version.tarball}, {"image", short_digest(image.id)}});
        return {image.id, version.tarball, true, archive.size_bytes};
      });
    } catch (const IoError& error) {
      // Pruned between the listing and the reading: a newer version is there.
      if (again || !vanished(error)) throw;
    }
  }
}

void Syncer::retire(const EnvironmentName& name, const std::string& image_id) {
  std::string outdated;
  {
    const std::lock_guard lock(mutex_);
    outdated = std::exchange(retired_[name], image_id);
  }
  if (outdated.empty() || outdated == image_id) return;
  try {
    const auto image = engine_.find_image(outdated);
    if (image && image->tags.empty()) engine_.untag_image(outdated);
  } catch (const docker::DockerError& error) {  // a container still uses it
    log::debug(kComponent, "an outdated image stays", {{"image", short_digest(outdated)}, {"reason", error.what()}});
  }
}

}  // namespace riverbox::environment
