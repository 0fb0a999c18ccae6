// What the daemons share: configuration from flags, signals, systemd.
#pragma once
#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <string>

#include "applets/cli.hpp"
#include "base/config.hpp"

namespace riverbox::applets {

// The configuration of a daemon: file, environment, then the flags --bind, --port, --host, --token and --name where the
// command has them. Warnings are logged; the default share is made. Throws ConfigError, UsageError.
Config daemon_config(const Arguments& arguments);

// Without authentication whoever reaches the port is root on every node: then only this machine does, unless it was said that this is known (--i-know). Throws
// ConfigError when another address was asked for.
void refuse_open_doors(Config& config, const Arguments& arguments);
Option i_know_option();

// "port 8000 is in use" gets the flag that helps; other errors pass unchanged. Runs `bind` and returns.
void naming_the_port_flag(const Arguments& arguments, const std::function<void()>& bind);

// Runs the loop until SIGTERM or SIGINT, then calls `stop` on it and waits for what is still going on, at most 15 s. A second
// signal ends the process at once. SIGHUP is ignored. Tells systemd when we are ready, alive and stopping. Returns the exit code.
int serve(boost::asio::io_context& loop, const std::string& component, const std::function<void()>& stop);

}  // namespace riverbox::applets
