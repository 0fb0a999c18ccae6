// Which versions of environments a daemon holds, said in a way that is the same on every engine and store.
#pragma once
#include <compare>
#include <string>
#include <vector>

#include "base/json.hpp"
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

// What a node tells of itself (docs/link-protocol.md, `holdings`). Left out is what no runner says: what is no name of an environment or no fingerprint, and what comes
// after 10,000 others.
struct ToldHoldings {
  std::vector<Holding> holdings;  // sorted
  size_t left_out = 0;
};
// Throws nlohmann::json::exception for anything but a list of objects with these texts.
ToldHoldings holdings_of(const nlohmann::json& list);

// The environments of which there is now something that was not there before, each once. Both are sorted.
std::vector<std::string> newly_held(const std::vector<Holding>& before, const std::vector<Holding>& now);

}  // namespace riverbox::environment
