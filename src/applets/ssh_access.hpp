// How ssh(1) is told to get to a VPS.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "applets/cli.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"

namespace riverbox::applets {

// The options of ssh_config(5) for a VPS. Nothing of what the host calls it is in them: they are read by ssh and by a shell.
std::vector<std::pair<std::string, std::string>> ssh_settings(const Arguments& arguments, TaskId id);

// Where the private key is kept that was made for a VPS.
std::filesystem::path generated_key(TaskId id);
// The user's usual public key, the first of those that ssh(1) would take; empty: there is none.
std::filesystem::path usual_public_key();

// For --ssh and --ssh-key of `vps create`: sets ssh_key_mode and ssh_public_key. Throws UsageError, IoError.
void add_ssh(Json& wish, const Arguments& arguments);
std::vector<Option> ssh_create_options();

}  // namespace riverbox::applets
