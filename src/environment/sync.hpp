// Brings the daemon's image of an environment up to date with the share. Compares what the image *is*, never clocks.
#pragma once
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "environment/archive.hpp"
#include "environment/load.hpp"
#include "environment/present.hpp"
#include "environment/pulled_archive.hpp"
#include "environment/share.hpp"

namespace riverbox::environment {

struct SyncResult {
  std::string image_id;                     // create containers from this
  std::string tarball;                      // the version that is now present
  bool loaded = false;                      // false: was up to date
  std::string way;                          // of a load: "thin" or "full"
  std::size_t layers_left_out = 0;          // the daemon had them
  std::uint64_t bytes_read = 0;             // of the share, everything included
};

struct SyncOptions {
  // Images of ours that a newer version has replaced go when nothing uses them.
  bool remove_superseded = true;
  // Where a containerd store's daemon is concerned: what it was given, over restarts of this program. A file of this machine; empty: none.
  std::filesystem::path memory = {};
  // Where archives come from that the share does not show; null: then there are none.
  std::shared_ptr<const HostRegistry> host = {};
};

class Syncer {
public:
  Syncer(docker::Engine& engine, docker::Naming naming, Share share, SyncOptions options = {});
  // Blocking; thread-safe. One load per environment at a time: later callers wait for it and share its result; different environments in
  // parallel. `hint` is the tarball the host announced (fresher than a listing on NFS), may be empty. The token carries the time-out and really ends
  // the load. Throws NotFound (lists the environments there are), BadData (damaged archive; the old image stays),
  // docker::ImageImportError, Timeout. A missing environment never reaches a registry.
  SyncResult ensure(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress);
  // Pure: is the image of the daemon the one in the archive?
  static bool needs_sync(const std::optional<docker::Image>& local, const Identity& wanted);

private:
  SyncResult sync_now(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_from_share(const EnvironmentName& name, const std::string& hint, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_from_host(const EnvironmentName& name, const CancelToken& cancel, const SyncCallback& progress);
  SyncResult sync_version(const EnvironmentName& name, const Version& version, const std::optional<docker::Image>& local, const CancelToken& cancel,
                          const SyncCallback& progress);
  // Brings what the file describes into the daemon.
  SyncResult sync_file(const EnvironmentName& name, const std::string& tarball, ArchiveFile& file, const NextKnownVersion& others,
                       const std::optional<docker::Image>& local, const CancelToken& cancel, const SyncCallback& progress);
  // Somebody may be about to create a container from the image that was just replaced: the one before it goes instead.
  void retire(const EnvironmentName& name, const std::string& image_id);
  docker::Engine& engine_;
  docker::Naming naming_;
  Share share_;
  const SyncOptions options_;
  PresentLayers present_;
  struct Flight;  // one load that several callers wait for
  std::mutex mutex_;
  std::map<EnvironmentName, std::shared_ptr<Flight>> flights_;
  std::map<EnvironmentName, std::string> retired_;  // the image that the last load replaced
};

}  // namespace riverbox::environment
