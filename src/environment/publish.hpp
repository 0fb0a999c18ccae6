// create-tar: quiesce, commit, make the container again from the new image, write a hidden file, verify, rename, index, prune, untag. A kill at any moment leaves either no
// new version or a complete one, and the old one usable.
#pragma once
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "environment/archive.hpp"
#include "environment/packaging.hpp"
#include "environment/share.hpp"

namespace riverbox::environment {

struct PublishProgress {
  std::string step;                       // "stopping", "committing", "squashing", "writing", "verifying", "publishing"
  std::uint64_t bytes = 0, total_bytes = 0;  // of "writing"; the total is an estimate
};

// The host's word for the archive as this version of its environment; nullopt: it gives none.
using SignVersion = std::function<std::optional<Signature>(std::int64_t version, const Archive& archive)>;

struct PublishOptions {
  int keep_versions = 1;
  size_t max_layers = 40;                 // more are squashed to one
  bool squash = false;                    // in any case
  Compression compression = Compression::none;
  bool keep_image = false;                // tag it <prefix>/<name>:base in the daemon: a runner on this daemon uses it
  std::function<bool(const Version&)> in_use = [](const Version&) { return false; };  // never pruned
  SignVersion sign = {};
  std::function<void(const PublishProgress&)> progress = [](const PublishProgress&) {};
};

// What a crash in the middle has to undo. The owner keeps it durably from before the first change until after the last.
struct PublishIntent {
  std::string container;                  // Docker name
  std::string name;                       // of the environment
  bool was_running = false;
};

struct Published {
  Version version;
  Archive archive;
  Packaging packaging;
  std::vector<std::string> pruned;        // tarball names
  std::shared_future<void> tidying;       // ends when what the version before had in the engine is gone; no other call for the name before that
};

// Removes what is older than the `keep` newest versions, unless `in_use` or `published`. What cannot be removed is logged. Returns what went.
std::vector<std::string> prune_versions(const Share& share, const EnvironmentName& name, int keep, const std::string& published,
                                        const std::function<bool(const Version&)>& in_use);

class Publisher {
public:
  Publisher(docker::Engine& engine, docker::Naming naming, Share share);
  // Blocking. The caller serialises calls for one name. `record` is called with the intent before anything changes and must have made it durable
  // when it returns; `forget` after everything is done or undone. On any error the container runs again if it ran, and nothing of ours is left
  // in the folder.
  Published publish(const EnvironmentName& name, const PublishOptions& options, const CancelToken& cancel,
                    const std::function<void(const PublishIntent&)>& record, const std::function<void()>& forget);
  // After a crash: undo what the intent says. Idempotent.
  void recover(const PublishIntent& intent);

private:
  docker::Engine& engine_;
  docker::Naming naming_;
  Share share_;
};

}  // namespace riverbox::environment
