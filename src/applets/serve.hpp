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
// command has them. Only reads. Throws ConfigError, UsageError.
Config configured(const Arguments& arguments);
// The same at the start: warnings are logged, the level of the log is set, the default share is made.
Config begin_with(Config config);

// Without authentication whoever reaches the port is root on every node: then only this machine does, unless it was said that this is known (--i-know). Throws
// ConfigError when another address was asked for.
void refuse_open_doors(Config& config, const Arguments& arguments);
Option i_know_option();

// "port 8000 is in use" gets the flag that helps; other errors pass unchanged. Runs `bind` and returns.
void naming_the_port_flag(const Arguments& arguments, const std::function<void()>& bind);

// What becomes of SIGHUP: the configuration is read again, and the live values of it (base/config.cpp) go to `apply`. What else differs is named in the log,
// with the reason. A configuration with a mistake changes nothing.
struct Reload {
  Config running;                             // what the daemon was started with
  std::function<Config()> read;               // on a worker, because the file may lie where nothing answers. Throws ConfigError, UsageError
  std::function<void(const Config&)> apply = [](const Config&) {};  // loop thread. Throws ConfigError, and then has changed nothing
};

// Runs the loop until SIGTERM or SIGINT, then calls `stop` on it and waits for what is still going on, at most 15 s. A second
// signal ends the process at once. Tells systemd when we are ready, alive, reloading and stopping. Returns the exit code.
int serve(boost::asio::io_context& loop, const std::string& component, const std::function<void()>& stop, Reload reload);

}  // namespace riverbox::applets
