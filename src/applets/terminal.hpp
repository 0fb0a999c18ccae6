// What the commands that open a terminal share.
#pragma once
#include <string>
#include <vector>

#include "applets/cli.hpp"
#include "terminal/client.hpp"

namespace riverbox::applets {

Option detach_keys_option(const char* help = "leave the shell with these (ctrl-p,ctrl-q); '' for none");
// The terminal at this path of the host, to its end; terminal::run_client() says what is returned and thrown. `options`: without address and token, which the
// configuration tells, and keys, which the command line does.
int run_terminal(const Arguments& arguments, const std::string& path, terminal::ClientOptions options);

// The options of `riverbox connect`, and what it does with them: a shared terminal in the VPS with this name or id, or the task with this id.
std::vector<Option> connect_options();
int connect_to(const Arguments& arguments, const std::string& target);

}  // namespace riverbox::applets
