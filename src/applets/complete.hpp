// What may come next on a command line.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "applets/applet.hpp"

namespace riverbox::applets {

// The live names of a kind ("containers", "environments", "nodes", "tasks"; "versions" of the environment that is the first argument), given the words so far (for --host and --config).
using LiveNames = std::function<std::vector<std::string>(const std::string& kind, const Resolution& so_far)>;

// `words`: the applet, the words so far, and the word that is being typed (maybe empty). Candidates that begin with that word, in order.
std::vector<std::string> candidates(std::span<const Applet> table, const std::vector<std::string>& words, const LiveNames& live);

}  // namespace riverbox::applets
