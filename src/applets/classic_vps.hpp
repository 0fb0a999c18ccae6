// The subcommands of hakuriver.vps that `riverbox vps` has better words for.
#pragma once
#include <vector>

#include "applets/cli.hpp"

namespace riverbox::applets {

// submit, status, kill and command.
std::vector<Command> classic_vps_subcommands();
int submit_vps(const Arguments& arguments);
int list_active_vpses(const Arguments& arguments);

}  // namespace riverbox::applets
