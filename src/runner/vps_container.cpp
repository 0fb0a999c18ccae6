#include "runner/vps_container.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::runner {
namespace {

constexpr std::chrono::seconds kGrace{10};  // of one that somebody has started by hand

}  // namespace

VpsContainer::VpsContainer(docker::Engine& engine, const NodeFacts& facts, TaskId id)
    : engine_(engine), facts_(facts), id_(id), name_(facts.naming.vps_container(id)), aside_(name_ + "-previous") {}

std::optional<docker::Container> VpsContainer::find(const std::string& name) const {
  std::optional<docker::Container> found;
  try {
    found = engine_.inspect_container(name);
  } catch (const docker::ContainerNotFoundError&) {
    return std::nullopt;
  }
  const docker::Naming::Labels wanted{{facts_.naming.label("task_id"), id_.str()}, {facts_.naming.label("task_type"), "vps"}, {facts_.naming.label("node"), facts_.node}};
  for (const auto& [key, value] : wanted) {
    const auto label = found->labels.find(key);
    if (label == found->labels.end() || label->second != value)
      throw Conflict(fmt::format("container '{}' is not of VPS {}", name, id_.str()), fmt::format("If nobody needs it, remove it on node {} with `docker rm -f {}`.", facts_.node, name));
  }
  return found;
}

docker::Container VpsContainer::get() const {
  if (auto found = find()) return std::move(*found);
  throw NotFound(fmt::format("VPS {} has no container on node {}", id_.str(), facts_.node), "It has not started yet, or somebody has removed it.");
}

void VpsContainer::settle() {
  const auto old = find(aside_);
  if (!old) return;
  const auto current = find(name_);
  if (current && current->state.status != "created") return remove(*old);
  if (current) remove(*current);
  engine_.rename_container(old->id, name_);
  log::info("runner", "a VPS has the container again that it had", {{"task", id_.str()}});
}

void VpsContainer::put_aside(const docker::Container& old) {
  if (old.state.running) engine_.stop_container(old.id, kGrace);
  engine_.rename_container(old.id, aside_);
}

// Volumes without a name go with their container; those that it has inherited have one. What another container uses stays.
void VpsContainer::remove(const docker::Container& container) {
  try {
    engine_.remove_container(container.id, true);
  } catch (const docker::ContainerNotFoundError&) {  // somebody was faster
  }
  for (const auto& volume : docker::Engine::volumes(container)) {
    try {
      engine_.remove_volume(volume.source);
    } catch (const docker::DockerError& error) {
      log::debug("runner", "a volume stays", {{"volume", volume.source}, {"reason", error.fact()}});
    }
  }
}

void VpsContainer::remove() {
  for (const std::string& name : {name_, aside_})
    if (const auto found = find(name)) remove(*found);
}

}  // namespace riverbox::runner
