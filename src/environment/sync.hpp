// Brings the daemon's image of an environment up to date with the share. Compares what the image *is*, never clocks.
#pragma once
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "environment/archive.hpp"
#include "environment/load.hpp"
#include "environment/present.hpp"
#include "environment/pulled_archive.hpp"
#include "environment/share.hpp"
#include "environment/signatures.hpp"

namespace riverbox::environment {

struct SyncResult {
  std::string image_id;                     // create containers from this
  std::string tarball;                      // the version that is now present
  bool loaded = false;                      // false: was up to date
  std::string way;                          // of a load: "thin" or "full"
  std::size_t layers_left_out = 0;          // the daemon had them
  std::uint64_t bytes_read = 0;             // of the share, everything included
  std::uint64_t layer_bytes_sent = 0, layer_bytes_left_out = 0;  // of a load
  std::chrono::duration<double> took{};     // of a load
};

struct SyncOptions {
  // Images of ours that a newer version has replaced go when nothing uses them.
  bool remove_superseded = true;
  // Where a containerd store's daemon is concerned: what it was given, over restarts of this program. A file of this machine; empty: none.
  std::filesystem::path memory = {};
  // Where archives come from that the share does not show; null: then there are none.
  std::shared_ptr<const HostRegistry> host = {};
  // Which versions are loaded at all.
  SignatureGate signatures = {};
  // Called after each load, on the thread of a caller: it is time for tidy_up().
  std::function<void(const SyncResult&)> loaded = {};
};

class Syncer {
public:
  Syncer(docker::Engine& engine, docker::Naming naming, Share share, SyncOptions options = {});
  // Blocking; thread-safe. One load per environment at a time: later callers wait for it and share its result; different environments in
  // parallel. `hint` is the tarball the host announced (fresher than a listing on NFS), may be empty. The token carries the time-out and really ends
  // the load. Throws NotFound (lists the environments there are), BadData (damaged archive; the old image stays),
  // docker::ImageImportError, Timeout. A missing environment never reaches a registry.
  SyncResult ensure(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress);
  // The same for this version and no other; its image has a tag of its own, which goes when another version has been loaded and nobody has asked
  // for this one in the last hour.
  SyncResult ensure_exactly(const EnvironmentName& name, const std::string& tarball, const CancelToken& cancel, const SyncCallback& progress);
  // What loads have left: tags under which images came, images that were superseded, versions that nobody asks for any more, tags of loads that were cut short. Blocking; no task waits for it.
  void tidy_up();
  // Pure: is the image of the daemon the one in the archive?
  static bool needs_sync(const std::optional<docker::Image>& local, const Identity& wanted);

private:
  // What a caller wants, and the tag that its image will have.
  struct Order {
    EnvironmentName name;
    std::string tarball;  // a hint, or exactly this
    bool exactly = false;
    std::string tag;
  };
  SyncResult fulfil(const Order& order, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_now(const Order& order, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_from_share(const Order& order, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_from_host(const Order& order, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_version(const Order& order, const Version& version, const std::optional<docker::Image>& local, const CancelToken& cancel,
                          const SyncCallback& progress);
  // Brings what the file describes into the daemon.
  SyncResult sync_file(const Order& order, const std::string& tarball, ArchiveFile& file, const NextKnownVersion& others,
                       const std::optional<docker::Image>& local, const CancelToken& cancel, const SyncCallback& progress);
  bool is_ours(const std::optional<docker::Image>& image, const Archive& archive);
  void remove_old_versions(const EnvironmentName& name);
  void untag_arrivals(const EnvironmentName& name);
  docker::Engine& engine_;
  docker::Naming naming_;
  Share share_;
  const SyncOptions options_;
  PresentLayers present_;
  struct Flight;  // one load that several callers wait for
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;                   // by tag
  std::map<EnvironmentName, std::string> retired_;                           // the image that the last load replaced
  std::set<EnvironmentName> untidy_;                                         // had a load
  std::map<EnvironmentName, std::vector<std::string>> arrivals_;             // tags under which images came
  std::vector<std::string> outdated_;                                        // images to be removed
  std::map<std::string, std::chrono::steady_clock::time_point> asked_for_;   // tags of single versions
};

}  // namespace riverbox::environment
