// The container of a VPS, and how another one takes its place: the old one stands aside under a second name until the new one has started, so that the names tell after every
// crash how far it came, and nothing is lost. Every call blocks (Docker) and throws docker errors.
#pragma once
#include <optional>
#include <string>

#include "docker/engine.hpp"
#include "runner/container_spec.hpp"

namespace riverbox::runner {

class VpsContainer {
public:
  VpsContainer(docker::Engine& engine, const NodeFacts& facts, TaskId id);
  const std::string& name() const { return name_; }
  // nullopt: there is none. Throws Conflict for one of that name that is not of this VPS.
  std::optional<docker::Container> find() const { return find(name_); }
  // The same; throws NotFound.
  docker::Container get() const;
  // After an exchange, however it went: the new one stays if it has ever started, else the old one has its name again. Idempotent.
  void settle();
  // The old one of an exchange; ends it if it runs.
  void put_aside(const docker::Container& old);
  // All of it, with its volumes.
  void remove();

private:
  std::optional<docker::Container> find(const std::string& name) const;
  void remove(const docker::Container& container);

  docker::Engine& engine_;
  const NodeFacts& facts_;
  const TaskId id_;
  const std::string name_, aside_;
};

}  // namespace riverbox::runner
