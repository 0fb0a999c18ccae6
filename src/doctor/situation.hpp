// What this machine is to riverbox, and with which configuration.
#pragma once
#include <optional>
#include <string>

#include "base/config.hpp"
#include "docker/engine.hpp"

namespace riverbox::doctor {

struct Situation {
  Config config;
  bool host = false, runner = false;  // neither: only commands are used here
  std::string user;                   // who asks

  bool remote_host() const;           // the host is another machine
  docker::Endpoint endpoint() const;  // throws InvalidInput
  std::string text() const;           // "host and runner"
};

// By what lies in the state folder; without any of that this is a host when the configuration names this machine as the host.
Situation situation_of(Config config);

// "sudo " unless it is root who asks.
std::string as_root(const std::string& command);
// The service where systemd has it, else the command: "riverbox host".
std::string start_command(const std::string& applet, bool again);

}  // namespace riverbox::doctor
