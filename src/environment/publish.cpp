#include "environment/publish.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <set>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/chain.hpp"
#include "environment/packaging.hpp"
#include "environment/squash.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {
namespace {

constexpr std::chrono::seconds kStopGrace{10};  // under an init a stop takes milliseconds; a stubborn process gets what docker gives

bool runs(const docker::ContainerState& state) { return state.running || state.paused || state.status == "restarting"; }

// Runs a step of a clean-up: what fails is told, and the next step still happens. False: it failed.
template <class Step>
bool attempt(const char* what, const std::string& object, Step step) {
  try {
    step();
    return true;
  } catch (const std::exception& error) {
    log::warning("environment", what, {{"object", object}, {"reason", error.what()}});
    return false;
  }
}

// Dockerfile lines for the commit. What the container's creator replaced (labels <prefix>.entrypoint and <prefix>.command, JSON as the image had it) goes back into the image.
std::vector<std::string> restored_config(const docker::Naming& naming, const docker::Naming::Labels& labels) {
  std::vector<std::string> changes;
  const auto restore = [&](const char* key, const char* instruction) {
    const auto label = labels.find(naming.label(key));
    if (label == labels.end()) return;
    const auto value = nlohmann::json::parse(label->second, nullptr, false);
    if (value.is_null()) return;
    const bool words = value.is_array() && std::all_of(value.begin(), value.end(), [](const auto& word) { return word.is_string(); });
    if (words) changes.push_back(fmt::format("{} {}", instruction, value.dump()));
    else log::warning("environment", "a label of the container is no list of words, it is ignored", {{"label", label->first}});
  };
  restore("entrypoint", "ENTRYPOINT");
  restore("command", "CMD");  // after it: ENTRYPOINT clears the command
  // A commit hands the container's labels on to the image, and the image to whatever a user runs from it: that is not ours.
  for (const auto& [key, value] : labels) {
    if (key.starts_with(naming.label("")) && key.find_first_of(" =\"\\$\n") == std::string::npos) changes.push_back(fmt::format("LABEL {}=\"\"", key));
  }
  return changes;
}

docker::Container find_our_container(docker::Engine& engine, const docker::Naming& naming, const EnvironmentName& name) {
  const std::string container_name = naming.environment_container(name.str());
  const auto foreign = [&](const std::string& which) {
    return Conflict(fmt::format("container '{}' is not managed by riverbox", which),
                    fmt::format("Make an environment container with 'hakuriver.docker create-container IMAGE {}' and package that.", name.str()));
  };
  std::optional<docker::Container> found;
  try {
    found = engine.inspect_container(container_name);
  } catch (const docker::ContainerNotFoundError&) {
    try {
      engine.inspect_container(name.str());
    } catch (const docker::ContainerNotFoundError&) {
      throw docker::ContainerNotFoundError(fmt::format("there is no environment container '{}'", name.str()),
                                           "'hakuriver.docker list-containers' shows those that exist.");
    }
    throw foreign(name.str());
  }
  for (const auto& [key, value] : naming.environment_labels(name.str())) {
    const auto label = found->labels.find(key);
    if (label == found->labels.end() || label->second != value) throw foreign(container_name);
  }
  return std::move(*found);
}

// What a publish that was killed has left of the container's images. A commit, or what it was squashed to, that no container was made from: only those are newer than the
// container. And the image of the version before (chain.cpp), when after a squash no other is built on it.
void remove_unneeded_images(docker::Engine& engine, const docker::Naming& naming, const std::string& name, const docker::Container& container) {
  attempt("cannot look for unneeded images", container.name, [&] {
    const auto base = engine.find_image(container.image_id);
    if (!base) return;
    const auto chained = container.labels.find(naming.label("chained"));
    std::set<std::string> unneeded;
    for (const docker::Image& image : engine.list_untagged_images(naming.label("environment") + "=")) {  // an empty label: restored_config()
      const bool is_commit = image.diff_ids.size() == base->diff_ids.size() + 1 && std::equal(base->diff_ids.begin(), base->diff_ids.end(), image.diff_ids.begin());
      const bool is_before = chained != container.labels.end() && chained->second == image.id;
      if ((is_commit && image.created > container.created) || is_before) unneeded.insert(image.id);
    }
    for (const docker::Image& image : engine.list_untagged_images(naming.label("squashed") + "=" + name)) {
      if (image.created > container.created) unneeded.insert(image.id);
    }
    for (const std::string& id : unneeded) engine.remove_unused_image(id);
  });
}

void start_again(docker::Engine& engine, const std::string& container) {
  try {
    const auto state = engine.inspect_container(container).state;
    if (state.paused) engine.unpause_container(container);
    else if (!state.running) engine.start_container(container);
  } catch (const docker::ContainerNotFoundError&) {  // somebody deleted it meanwhile
  }
}

// Two versions never share a second: HakuRiver's runners know no other order. A future version (a clock was wrong) is not waited for.
void wait_for_a_free_second(std::int64_t newest, const CancelToken& cancel) {
  while (unix_seconds(wall_now()) == newest) {
    cancel.check("packaging an environment");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// One publish. Changes to the world are made in order and noted, so that undo() can take back what was done.
class Publication {
public:
  Publication(docker::Engine& engine, const docker::Naming& naming, const Share& share, const EnvironmentName& name,
              const PublishOptions& options, const CancelToken& cancel)
      : engine_(engine), naming_(naming), share_(share), name_(name), options_(options), cancel_(cancel),
        tag_(naming.environment_image(name.str())), chain_(engine, naming, name.str()) {}

  PublishIntent prepare() {
    share_.prepare();
    chain_.settle();
    container_ = find_our_container(engine_, naming_, name_);
    remove_unneeded_images(engine_, naming_, name_.str(), container_);  // the engine ends a commit also when nobody waits for it any more
    intent_ = {container_.name, name_.str(), runs(container_.state)};
    return intent_;
  }

  Published run() {
    stop_and_commit();
    docker::Image image = engine_.inspect_image(image_id_);
    const std::int64_t timestamp = std::max(unix_seconds(image.created), newest_ ? newest_->timestamp + 1 : 0);
    final_place_ = share_.place_of(Share::file_name(name_, timestamp));
    std::unique_ptr<os::PendingFile> file;
    if (options_.squash || image.diff_ids.size() > options_.max_layers) file = squash_layers(image);
    begin_renewal();
    if (!file) file = write(image);
    if (options_.sign) archive_.signature = options_.sign(timestamp, archive_);
    publish_file(*file);
    const Version version{timestamp, final_place_.name(), archive_.size_bytes, {}};
    // The version exists from here on: nothing below may take it back.
    Published published{version, archive_, packaging_, {}};
    published.version.image_id = archive_.config_digest;
    attempt("cannot prune old versions", name_.str(), [&] {
      published.pruned = prune_versions(share_, name_, options_.keep_versions, version.tarball, options_.in_use);
    });
    if (options_.keep_image) attempt("cannot tag the new image", tag_, [&] { retag(); });
    published.tidying = tidy_up();
    return published;
  }

  // After an error. False: something is left for recover().
  bool undo() {
    if (running_again_.valid()) running_again_.wait();
    bool clean = attempt("cannot put the container in its place", intent_.container, [&] { chain_.settle(); });
    if (!image_id_.empty() && !renewed_) engine_.remove_unused_image(image_id_);
    if (intent_.was_running) clean &= attempt("cannot start the container again", intent_.container, [&] { start_again(engine_, intent_.container); });
    return clean;
  }

private:
  void report(const char* step, std::uint64_t bytes = 0, std::uint64_t total_bytes = 0) {
    options_.progress({step, bytes, total_bytes});
  }

  void stop_and_commit() {
    cancel_.check("packaging an environment");
    report("stopping");
    if (container_.state.paused) {
      log::info("environment", "the container is paused: it is resumed to be stopped, and runs afterwards", {{"container", intent_.container}});
      engine_.unpause_container(intent_.container);
    }
    if (intent_.was_running) engine_.stop_container(intent_.container, kStopGrace);
    newest_ = share_.newest(name_);
    if (newest_) wait_for_a_free_second(newest_->timestamp, cancel_);
    cancel_.check("packaging an environment");
    report("committing");
    image_id_ = engine_.commit(intent_.container, restored_config(naming_, container_.labels), {.comment = "packaged by riverbox"}, cancel_);
  }

  // At once after the commit and beside the writing: its users do not wait for the archive, nor the archive for it.
  void begin_renewal() {
    running_again_ = std::async(std::launch::async, [this, context = log::context()] {
      const log::Scope scope(context);
      try {
        chain_.renew(container_, image_id_);
        renewed_ = true;
      } catch (const docker::DockerError& error) {
        // The old one is as good, only the next version will hold this one's changes once more.
        log::warning("environment", "the environment container could not be made again from its new image", {{"container", intent_.container}, {"reason", error.what()}});
        chain_.settle();
      }
      if (intent_.was_running) engine_.start_container(intent_.container);
    });
  }

  // Null: it could not be done and was not asked for. The next version tries again; the engine's limit is far away.
  std::unique_ptr<os::PendingFile> squash_layers(docker::Image& image) {
    report("squashing", 0, image.size_bytes);
    try {
      Squashed squashed = squash(engine_, intent_.container, image, {{naming_.label("squashed"), name_.str()}}, tag_, final_place_, options_.compression, cancel_,
                                 [&](std::uint64_t bytes) { report("squashing", bytes, std::max(image.size_bytes, bytes)); });
      engine_.remove_unused_image(std::exchange(image_id_, squashed.image.id));
      image = std::move(squashed.image);
      archive_ = std::move(squashed.archive);
      packaging_ = {"squash", {}, 1, 0, 0};
      return std::move(squashed.file);
    } catch (const docker::DockerError& error) {
      if (options_.squash) throw;
      log::warning("environment", "the layers could not be squashed, the version gets one more", {{"environment", name_.str()}, {"reason", error.what()}});
      return nullptr;
    }
  }

  std::unique_ptr<os::PendingFile> write(const docker::Image& image) {
    Packager packager(engine_, share_, image, tag_,
                      {.progress = [&](std::uint64_t bytes) { report("writing", bytes, std::max(image.size_bytes, bytes)); }, .cancel = &cancel_, .compression = options_.compression});
    report("writing", 0, image.size_bytes);
    auto file = packager.write(final_place_, newest_);
    archive_ = packager.archive();
    packaging_ = packager.packaging();
    return file;
  }

  void publish_file(os::PendingFile& file) {
    report("verifying", archive_.size_bytes, archive_.size_bytes);
    file.sync();
    running_again_.get();  // no version without its container running again
    cancel_.check("packaging an environment");
    report("publishing", archive_.size_bytes, archive_.size_bytes);
    const os::Place index = share_.index_place(final_place_.name());
    try {
      // Before the archive, so that nobody sees it without its signature. Only what is not signed can do without an index.
      if (archive_.signature) write_index(index, archive_);
      else attempt("cannot write the index of an archive", final_place_.name(), [&] { write_index(index, archive_); });
      file.publish();
    } catch (const Error&) {  // renamed, but not surely on the disk: then it must not be seen
      for (const os::Place& place : {final_place_, index}) attempt("cannot remove what was not published", place.path().string(), [&] { os::unlink_beneath(place); });
      throw;
    }
  }

  // A runner that shares this daemon finds the new image at once.
  void retag() {
    const auto previous = engine_.find_image(tag_);
    engine_.tag_image(image_id_, tag_);
    if (previous && previous->id != image_id_) engine_.remove_unused_image(previous->id);
  }

  // What the version before has left in the engine: its container, and the image that was made from. Not beside the writing: thousands of files are removed no faster than
  // they are written, from the same disk.
  std::shared_future<void> tidy_up() const {
    const bool chained = container_.labels.contains(naming_.label("chained"));
    return std::async(std::launch::async, [chain = chain_, &engine = engine_, before = chained ? container_.image_id : "", context = log::context()]() mutable {
      const log::Scope scope(context);
      chain.drop_previous();
      if (!before.empty()) engine.remove_unused_image(before);
    });
  }

  docker::Engine& engine_;
  const docker::Naming& naming_;
  const Share& share_;
  const EnvironmentName& name_;
  const PublishOptions& options_;
  const CancelToken& cancel_;
  const std::string tag_;
  ContainerChain chain_;
  docker::Container container_;
  PublishIntent intent_;
  std::optional<Version> newest_;  // before this one
  os::Place final_place_;
  std::string image_id_;
  bool renewed_ = false;
  Archive archive_;
  Packaging packaging_;
  std::future<void> running_again_;  // last: its end waits for the renewal, which uses what stands above
};

// Of this name; their writer is gone, so age does not matter.
void remove_temporaries_of(const Share& share, const std::string& name) {
  constexpr std::string_view kPrefix = ".riverbox-";  // os::PendingFile: .riverbox-<final name>.<pid>.<random>.part
  attempt("cannot remove what a publish has left", name, [&] {
    os::for_each_name(share.folder(), [&](int folder_fd, std::string_view file, unsigned char) {
      const size_t end = file.find(".tar.");
      if (!os::PendingFile::is_temporary_name(file) || !file.starts_with(kPrefix) || end == std::string_view::npos) return;
      const auto parsed = Share::parse_file_name(file.substr(kPrefix.size(), end + 4 - kPrefix.size()));
      if (parsed && parsed->first.str() == name) ::unlinkat(folder_fd, std::string(file).c_str(), 0);
    });
    // Indexes of which the archive never came.
    os::for_each_name(share.folder() / ".riverbox", [&](int folder_fd, std::string_view file, unsigned char) {
      if (!file.ends_with(".json")) return;
      const std::string tarball = std::string(file.substr(0, file.size() - 5)) + ".tar";
      const auto parsed = Share::parse_file_name(tarball);
      if (parsed && parsed->first.str() == name && !os::stat_beneath(share.place_of(tarball))) ::unlinkat(folder_fd, std::string(file).c_str(), 0);
    });
  });
}

}  // namespace

std::vector<std::string> prune_versions(const Share& share, const EnvironmentName& name, int keep, const std::string& published,
                                        const std::function<bool(const Version&)>& in_use) {
  std::vector<std::string> pruned;
  std::vector<os::UniqueFd> removed;  // while it is open, a file's gigabytes are not given back to the file system: that takes a while, and nobody need wait for it
  const std::vector<Version> versions = share.versions(name);
  for (size_t i = static_cast<size_t>(std::max(1, keep)); i < versions.size(); ++i) {
    const Version& version = versions[i];
    attempt("cannot remove an old version", version.tarball, [&] {
      if (version.tarball == published || in_use(version)) return;
      try {
        removed.push_back(os::open_beneath(share.place_of(version.tarball), O_RDONLY));
      } catch (const Error&) {  // then it takes the time that it takes
      }
      share.remove(version);
      pruned.push_back(version.tarball);
    });
  }
  if (!removed.empty()) attempt("cannot close old versions beside", name.str(), [&] { std::thread([closing = std::move(removed)] {}).detach(); });
  return pruned;
}

Publisher::Publisher(docker::Engine& engine, docker::Naming naming, Share share)
    : engine_(engine), naming_(std::move(naming)), share_(std::move(share)) {}

Published Publisher::publish(const EnvironmentName& name, const PublishOptions& options, const CancelToken& cancel,
                             const std::function<void(const PublishIntent&)>& record, const std::function<void()>& forget) {
  Publication publication(engine_, naming_, share_, name, options, cancel);
  record(publication.prepare());
  Published published = [&] {
    try {
      return publication.run();
    } catch (...) {
      // What could not be undone now (the daemon is away) is undone by recover(): the intent stays.
      if (publication.undo()) attempt("cannot forget a publish", name.str(), forget);
      throw;
    }
  }();
  forget();
  return published;
}

void Publisher::recover(const PublishIntent& intent) {
  remove_temporaries_of(share_, intent.name);
  ContainerChain chain(engine_, naming_, intent.name);
  chain.settle();
  try {
    if (intent.was_running) {
      if (engine_.inspect_container(intent.container).state.paused) engine_.unpause_container(intent.container);
      // The engine may still be carrying out the stop of the one that died: what runs now would not run for long. A second stop waits for the first.
      engine_.stop_container(intent.container, kStopGrace);
      start_again(engine_, intent.container);
    }
    chain.settle();  // and the clone that it may have finished meanwhile
    remove_unneeded_images(engine_, naming_, intent.name, engine_.inspect_container(intent.container));
  } catch (const docker::ContainerNotFoundError&) {  // somebody deleted it meanwhile
  }
}

}  // namespace riverbox::environment
