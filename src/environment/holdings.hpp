// Which versions of environments a daemon holds, said in a way that is the same on every engine and store.
#pragma once
#include <compare>
#include <string>
#include <vector>

#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "environment/archive.hpp"

namespace riverbox::environment {

// SHA-256 (hex) of what the image *is*: its layers and its date.
std::string fingerprint(const Identity& identity);

struct Holding {
  std::string environment, fingerprint;
  auto operator<=>(const Holding&) const = default;
};

// Asks the daemon: an inspection for each image of an environment. Blocking. Sorted. Throws docker::DockerError.
std::vector<Holding> find_holdings(docker::Engine& engine, const docker::Naming& naming);

}  // namespace riverbox::environment
