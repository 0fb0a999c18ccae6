// riverbox vps share and unshare.
#pragma once
#include <string>
#include <vector>

#include "applets/cli.hpp"
#include "applets/output.hpp"

namespace riverbox::applets {

std::vector<Command> vps_sharing_subcommands();
int share_vps(const Arguments& arguments);
int unshare_vps(const Arguments& arguments);
// "bob, carol": with whom the VPS of an answer is shared.
std::string guests_of(const Json& vps);

}  // namespace riverbox::applets
