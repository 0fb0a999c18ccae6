#include "host/environments.hpp"

#include <algorithm>
#include <chrono>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/chain.hpp"
#include "host/environment_turn.hpp"

namespace riverbox::host {
namespace {

// What Docker accepts as a container name: anything else cannot name a container and is not worth a question.
bool can_be_container_name(std::string_view text) {
  auto is_alnum = [](unsigned char c) { return std::isalnum(c) != 0; };
  return text.size() >= 2 && text.size() <= 255 && is_alnum(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](unsigned char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

std::string json_or_null(const std::optional<std::vector<std::string>>& words) {
  return words ? nlohmann::json(*words).dump() : "null";
}

// `sleep infinity` as the seed says. An image with an ENTRYPOINT would get that as arguments and end at once, so it is
// overridden; the labels remember what the image had, and create-tar puts it back into what it commits.
docker::ContainerSpec environment_spec(const docker::Naming& naming, const EnvironmentName& name, const std::string& reference,
                                       const docker::Image& image) {
  docker::ContainerSpec spec;
  spec.image = image.id;
  spec.labels = naming.environment_labels(name.str());
  spec.labels[naming.label("image")] = reference;
  spec.labels[naming.label("command")] = json_or_null(image.command);
  if (image.entrypoint && !image.entrypoint->empty()) {
    spec.labels[naming.label("entrypoint")] = json_or_null(image.entrypoint);
    spec.entrypoint = {{"sleep", "infinity"}};
  } else {
    spec.command = {"sleep", "infinity"};
  }
  spec.hostname = name.str().substr(0, 63);
  spec.init = true;
  return spec;
}

// Of a create-tar or rollback that goes on, or that recover() ends.
bool stands_aside(const docker::Naming& naming, const docker::ContainerSummary& container) {
  const auto label = container.labels.find(naming.label("environment"));
  return naming.is_managed(container.labels) && label != container.labels.end() &&
         (container.name == naming.next_container(label->second) || container.name == naming.previous_container(label->second));
}

}  // namespace

Environments::Environments(docker::Engine& engine, docker::Naming naming, environment::Share share,
                           store::PublicationRepository& publications, Options options)
    : engine_(engine), naming_(std::move(naming)), share_(std::move(share)), publications_(publications), options_(std::move(options)), packaging_(options_.packaging) {}

std::vector<ListedContainer> Environments::list(bool sizes) {
  std::map<std::string, std::optional<std::uint64_t>> changed;  // of ours: those of others may be large, and are nobody's concern
  if (sizes)
    for (const auto& c : engine_.list_containers(naming_.label("environment"), true)) changed[c.id] = c.changed_bytes;
  std::vector<ListedContainer> out;
  for (auto& c : engine_.list_containers()) {
    auto label = c.labels.find(naming_.label("environment"));
    bool managed = naming_.is_managed(c.labels) && label != c.labels.end();
    if (stands_aside(naming_, c)) continue;
    auto image = c.labels.find(naming_.label("image"));
    out.push_back({.id = c.id.substr(0, 12),
                   .name = managed ? label->second : c.name,
                   .container_name = c.name,
                   .image = managed && image != c.labels.end() ? image->second : c.image,
                   .status_text = c.status_text,
                   .state = c.state,
                   .created = c.created,
                   .managed = managed,
                   .changed_bytes = changed[c.id]});
  }
  std::stable_sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.managed > b.managed; });
  return out;
}

EnvironmentContainer Environments::resolve(const std::string& text) {
  std::vector<std::string> candidates;
  if (EnvironmentName::is_valid(text)) candidates.push_back(naming_.environment_container(text));
  if (can_be_container_name(text)) candidates.push_back(text);
  for (const auto& candidate : candidates) {
    docker::Container found;
    try {
      found = engine_.inspect_container(candidate);
    } catch (const docker::ContainerNotFoundError&) {
      continue;
    }
    if (found.name != candidate) continue;  // the Engine also answers for ID prefixes
    auto label = found.labels.find(naming_.label("environment"));
    if (!naming_.is_managed(found.labels) || label == found.labels.end())
      throw Conflict("Container '" + printable(text) + "' is not managed by riverbox, so it is left alone",
                     "Only containers made by `create-container` are started, stopped, deleted or packaged.");
    return {EnvironmentName::parse(label->second), std::move(found)};
  }
  if (candidates.empty()) EnvironmentName::parse(text);  // says what is wrong with the name
  throw NotFound("Container '" + printable(text) + "' not found: there is no environment of that name on the host",
                 "`hakuriver.docker list-containers` shows those there are, `create-container IMAGE " + printable(text) +
                     "` makes one.");
}

EnvironmentContainer Environments::create(const std::string& image, const std::string& text, const StepCallback& progress) {
  auto name = EnvironmentName::parse(text);
  constexpr size_t kMaxReferenceBytes = 512;
  if (image.empty() || image.size() > kMaxReferenceBytes || image[0] == '-' || image.find_first_of(" \t\r\n") != std::string::npos)
    throw InvalidInput("'" + printable(image, 80) + "' is not an image name", "Give one such as python:3.11-slim.");
  auto container_name = naming_.environment_container(name.str());
  auto exists = [&] {
    return Conflict("Container '" + name.str() + "' already exists",
                    "Open it with `hakuriver.docker-shell " + name.str() + "`, or remove it with `delete-container " +
                        name.str() + "` first.");
  };
  try {
    engine_.inspect_container(container_name);
    throw exists();
  } catch (const docker::ContainerNotFoundError&) {
  }
  progress({"looking for the image"});
  auto found = engine_.find_image(image);
  if (!found) {
    engine_.pull_image(image, [&](const docker::PullProgress& p) { progress({"pulling: " + p.step, p.current_bytes, p.total_bytes}); }, {});
    found = engine_.inspect_image(image);
  }
  progress({"creating"});
  try {
    engine_.create_container(container_name, environment_spec(naming_, name, image, *found));
  } catch (const docker::ContainerCreationError& e) {
    if (e.kind() == ErrorKind::conflict) throw exists();
    throw;
  }
  try {
    engine_.start_container(container_name);
  } catch (const Error&) {  // nothing half done: an environment that cannot start is no environment
    engine_.remove_container(container_name, true);
    throw;
  }
  log::info("host", "environment created", {{"environment", name.str()}, {"image", image}});
  options_.tell("created", name.str(), "from " + image);
  return {name, engine_.inspect_container(container_name)};
}

EnvironmentContainer Environments::start(const std::string& text) {
  auto found = resolve(text);
  engine_.start_container(found.container.name);
  options_.tell("started", found.name.str(), {});
  return found;
}

EnvironmentContainer Environments::stop(const std::string& text) {
  auto found = resolve(text);
  engine_.stop_container(found.container.name, kStopGrace);
  options_.tell("stopped", found.name.str(), {});
  return found;
}

EnvironmentContainer Environments::remove(const std::string& text) {
  Turn turn(*this, resolve(text).name);  // not under a create-tar, which changes the container
  auto found = resolve(text);
  environment::ContainerChain(engine_, naming_, found.name.str()).settle();  // what one has left goes too
  engine_.remove_container(found.container.id, true);
  for (const std::string& volume : environment::inherited_volumes(naming_, found.container)) {
    try {
      engine_.remove_volume(volume);
    } catch (const docker::DockerError& e) {  // somebody else uses it
      log::warning("host", "a volume of a deleted environment stays", {{"volume", volume}, {"reason", e.what()}});
    }
  }
  // The image that the last create-tar committed, and those before it, are nobody's without their container.
  untag_rolled_back(found.name, false);
  if (found.container.labels.contains(naming_.label("chained"))) engine_.remove_unused_image(found.container.image_id);
  log::info("host", "environment container deleted", {{"environment", found.name.str()}});
  options_.tell("deleted", found.name.str(), {});
  return found;
}

environment::Published Environments::create_tar(const std::string& text, bool squash, const StepCallback& progress) {
  auto found = resolve(text);
  share_.prepare();
  progress({"waiting for its turn"});
  Turn turn(*this, found.name);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& p : publications_.all())
    if (p.name == found.name.str()) undo_interrupted(p);  // Docker was away when the host started
  environment::PublishOptions options;
  const auto packaging = packaging_.now();
  options.keep_versions = packaging->keep_versions;
  constexpr int kEngineLimit = 125;
  options.max_layers = static_cast<size_t>(std::clamp(packaging->max_layers, 1, kEngineLimit - 5));
  options.squash = squash;
  options.compression = packaging->compression;
  options.keep_image = options_.keep_image;
  if (options_.keys) options.sign = [&](std::int64_t version, const environment::Archive& archive) { return std::optional(options_.keys->sign(found.name, version, archive)); };
  options.in_use = [&](const environment::Version& version) { return options_.in_use(found.name, version); };
  options.progress = [&](const environment::PublishProgress& p) { progress({p.step, p.bytes, p.total_bytes}); };
  environment::Publisher publisher(engine_, naming_, share_);
  auto published = publisher.publish(
      found.name, options, {},
      [&](const environment::PublishIntent& i) {
        publications_.record({.name = i.name, .container = i.container, .was_running = i.was_running});
      },
      [&] { publications_.forget(found.name.str()); });
  constexpr std::chrono::seconds kQuick{3};  // whoever has waited longer shall not wait for this as well
  if (published.tidying.wait_until(begin + kQuick) == std::future_status::timeout) turn.leave(std::move(published.tidying));
  untag_rolled_back(found.name, false);
  log::info("host", "version published", {{"environment", found.name.str()}, {"tarball", published.version.tarball},
                                          {"bytes", std::to_string(published.version.size_bytes)}});
  tell_published("published", found.name, published.version, published.pruned);
  return published;
}

void Environments::tell_published(std::string_view action, const EnvironmentName& name, const environment::Version& version, const std::vector<std::string>& pruned) {
  options_.tell(action, name.str(), version.tarball);
  for (const std::string& tarball : pruned) options_.tell("pruned", name.str(), tarball);
}

void Environments::undo_interrupted(const store::PublicationRecord& p) {
  environment::Publisher(engine_, naming_, share_)
      .recover({.container = p.container, .name = p.name, .was_running = p.was_running});
  publications_.forget(p.name);
  log::warning("host", "a create-tar that was cut short has been undone", {{"environment", p.name}});
}

void Environments::recover() {
  for (const auto& p : publications_.all()) {
    try {
      Turn turn(*this, EnvironmentName::parse(p.name));
      undo_interrupted(p);
    } catch (const std::exception& e) {
      log::error("host", "cannot undo a create-tar that was cut short; it is tried again at the next start or create-tar",
                 {{"environment", p.name}, {"reason", e.what()}});
    }
  }
  try {
    for (const auto& c : engine_.list_containers()) {
      if (!stands_aside(naming_, c)) continue;  // left by one that had nothing else to do any more
      const std::string& name = c.labels.at(naming_.label("environment"));
      Turn turn(*this, EnvironmentName::parse(name));
      environment::ContainerChain(engine_, naming_, name).drop_previous();
    }
  } catch (const std::exception& e) {
    log::debug("host", "what a create-tar has left is taken away by the next one", {{"reason", e.what()}});
  }
}

}  // namespace riverbox::host
