// The command line of HakuRiver 0.2.0's client in today's words.
#pragma once
#include <string>
#include <vector>

namespace riverbox::applets {

// --list-nodes, --status ID, --kill ID and --health [HOST] become the subcommands nodes, status, kill and health. Everything
// else, and what follows the first word that is no option, stays as it is.
std::vector<std::string> modern_words(const std::vector<std::string>& words);

}  // namespace riverbox::applets
