// Environments: going back to an older version.
#include <exception>

#include "base/error.hpp"
#include "base/log.hpp"
#include "environment/chain.hpp"
#include "environment/load.hpp"
#include "environment/present.hpp"
#include "environment/republish.hpp"
#include "host/environment_turn.hpp"

namespace riverbox::host {

Environments::Rollback Environments::roll_back(const EnvironmentName& name, const environment::Version& version, bool container,
                                               const StepCallback& progress) {
  if (container) resolve(name.str());  // before anything is done
  progress({"waiting for its turn"});
  Turn turn(*this, name);
  for (const auto& p : publications_.all())
    if (p.name == name.str()) undo_interrupted(p);
  const auto newest = share_.newest(name);
  Rollback out{.version = version, .was_newest = newest && newest->tarball == version.tarball, .container = container};
  if (container) renew_container(name, version, progress);
  if (!out.was_newest) {
    progress({"publishing", version.size_bytes, version.size_bytes});
    out.version = environment::republish(share_, name, version, [&](std::int64_t number, environment::Archive archive) { return sign_again(out, name, version, number, std::move(archive)); }, {});
    out.pruned = environment::prune_versions(share_, name, packaging_->keep_versions, out.version.tarball,
                                             [&](const environment::Version& old) { return options_.in_use(name, old); });
  }
  log::info("host", "rolled back", {{"environment", name.str()}, {"from", version.tarball}, {"to", out.version.tarball}, {"container", container ? "yes" : "no"}});
  if (container || !out.was_newest) tell_published("rolled_back", name, out.version, out.pruned);
  return out;
}

// The host vouches only for what it has vouched for before: what lies on the share may be somebody else's.
std::optional<environment::Signature> Environments::sign_again(Rollback& rollback, const EnvironmentName& name, const environment::Version& version, std::int64_t number,
                                                               environment::Archive archive) const {
  if (!options_.keys) return std::nullopt;
  archive.signature = environment::read_signature(share_.index_place(version.tarball));
  rollback.signature = options_.keys->trusted()->examine(name, version.timestamp, archive);
  if (rollback.signature == environment::SignatureState::valid) return options_.keys->sign(name, number, archive);
  log::warning("host", "going back to a version that the host does not vouch for; the new one is not signed either",
               {{"tarball", version.tarball}, {"signature", std::string(environment::to_string(rollback.signature))}});
  return std::nullopt;
}

// By force only the tag goes, if a container of the image runs. If all of them stand, the image itself would: then it keeps the tag until the container has another image, or is gone.
void Environments::untag_rolled_back(const EnvironmentName& name, bool runs) noexcept {
  const std::string tag = naming_.environment_image(name.str(), "rollback");
  try {
    if (engine_.find_image(tag)) engine_.untag_image(tag, runs);
  } catch (const std::exception& error) {
    log::debug("host", "a tag stays", {{"image", tag}, {"reason", error.what()}});
  }
}

// The image comes first, which takes long and can fail; then the container is exchanged as create-tar does it.
void Environments::renew_container(const EnvironmentName& name, const environment::Version& version, const StepCallback& progress) {
  environment::ArchiveFile file(share_.place_of(version.tarball), share_.index_place(version.tarball));
  file.read_documents();
  environment::PresentLayers present(engine_);
  const std::string tag = naming_.environment_image(name.str(), "rollback");
  const std::optional<docker::Image> none;
  environment::Loader loader(engine_, present, tag, none, options_.signatures);
  const auto loaded = loader.load(file, [] { return std::nullopt; }, {},
                                  [&](const environment::SyncProgress& p) { progress({p.step, p.bytes, p.total_bytes}); });
  environment::Loader::untag(engine_, loaded.arrival_tag);
  struct Untag {
    Environments& environments;
    const EnvironmentName& name;
    bool runs = false;
    ~Untag() { environments.untag_rolled_back(name, runs); }
  } untag_at_the_end{*this, name};

  progress({"renewing the container"});
  environment::ContainerChain chain(engine_, naming_, name.str());
  chain.settle();
  const auto current = resolve(name.str()).container;
  const bool runs = current.state.running || current.state.paused || current.state.status == "restarting";
  publications_.record({.name = name.str(), .container = current.name, .was_running = runs});
  std::exception_ptr failure;
  try {
    if (current.state.paused) engine_.unpause_container(current.name);
    if (runs) engine_.stop_container(current.name, kStopGrace);
    chain.renew(current, loaded.image.id);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  chain.settle();
  if (runs) engine_.start_container(current.name);
  untag_at_the_end.runs = runs;
  publications_.forget(name.str());
  if (failure) std::rethrow_exception(failure);
  if (current.labels.contains(naming_.label("chained"))) engine_.remove_unused_image(current.image_id);
}

}  // namespace riverbox::host
