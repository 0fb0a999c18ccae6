// What the commands that open a terminal share.
#pragma once
#include <string>

#include "applets/cli.hpp"
#include "terminal/client.hpp"

namespace riverbox::applets {

Option detach_keys_option();
// The terminal at this path of the host, to its end; terminal::run_client() says what is returned and thrown. `options`: without address and token, which the
// configuration tells, and keys, which the command line does.
int run_terminal(const Arguments& arguments, const std::string& path, terminal::ClientOptions options);

}  // namespace riverbox::applets
