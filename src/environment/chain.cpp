#include "environment/chain.hpp"

#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {

std::vector<std::string> inherited_volumes(const docker::Naming& naming, const docker::Container& container) {
  const auto label = container.labels.find(naming.label("volumes"));
  if (label == container.labels.end()) return {};
  std::vector<std::string> volumes = split(label->second, ',');
  std::erase(volumes, "");
  return volumes;
}

ContainerChain::ContainerChain(docker::Engine& engine, const docker::Naming& naming, std::string name)
    : engine_(engine), naming_(naming), name_(std::move(name)), proper_(naming.environment_container(name_)),
      next_(naming.next_container(name_)), previous_(naming.previous_container(name_)) {}

// create next, previous <- proper, proper <- next, and then remove previous: at every moment the names tell how far it came.
void ContainerChain::renew(const docker::Container& current, const std::string& image_id) {
  // The label tells that the image is ours, and which one of ours came before: that goes when nothing needs it, whoever is there to see to it.
  const std::string chained = naming_.label("chained");
  docker::Naming::Labels labels{{chained, current.labels.contains(chained) ? current.image_id : "true"}};
  // A clone knows them by name, so the engine would not remove them with it any more.
  auto volumes = inherited_volumes(naming_, current);
  for (std::string& volume : docker::Engine::anonymous_volumes(current)) volumes.push_back(std::move(volume));
  if (!volumes.empty()) labels[naming_.label("volumes")] = join(volumes, ",");
  engine_.clone_container(current, next_, image_id, labels);
  engine_.rename_container(proper_, previous_);
  engine_.rename_container(next_, proper_);
}

void ContainerChain::drop_previous() {
  try {
    if (find_ours(proper_)) remove_if_ours(previous_);
  } catch (const docker::DockerError& error) {
    log::warning("environment", "the container of the version before stays", {{"container", previous_}, {"reason", error.what()}});
  }
}

void ContainerChain::settle() {
  if (!find_ours(proper_)) {
    if (find_ours(previous_)) engine_.rename_container(previous_, proper_);
    else if (find_ours(next_)) engine_.rename_container(next_, proper_);
    else return;
  }
  remove_if_ours(next_);
  remove_if_ours(previous_);
}

std::optional<docker::Container> ContainerChain::find_ours(const std::string& container_name) {
  try {
    auto found = engine_.inspect_container(container_name);
    if (found.name != container_name) return std::nullopt;  // the Engine also answers for ID prefixes
    for (const auto& [key, value] : naming_.environment_labels(name_)) {
      const auto label = found.labels.find(key);
      if (label == found.labels.end() || label->second != value) return std::nullopt;
    }
    return found;
  } catch (const docker::ContainerNotFoundError&) {
    return std::nullopt;
  }
}

void ContainerChain::remove_if_ours(const std::string& container_name) {
  if (!find_ours(container_name)) return;
  try {
    engine_.remove_container(container_name, true, true);
  } catch (const docker::ContainerNotFoundError&) {  // gone meanwhile, as when the answer to an earlier try was lost
  }
}

}  // namespace riverbox::environment
