// A small multicall table around the real command descriptions.
#pragma once
#include <doctest/doctest.h>

#include "applets/applet.hpp"
#include "applets/commands.hpp"
#include "applets/exit_codes.hpp"

namespace riverbox::applets {

inline int no_run(const Invocation&) { return 0; }

inline constexpr Applet kTestTable[] = {
    {"__complete", no_run, nullptr, ""},
    {"client", no_run, client_command, "Submit"},
    {"docker", no_run, docker_command, "Containers"},
    {"docker-shell", no_run, docker_shell_command, "Shell"},
    {"forward", no_run, forward_command, "Ports"},
    {"ssh", no_run, ssh_command, "SSH"},
    {"task", no_run, task_command, "Tasks"},
    {"tunnel-client", no_run, tunnel_client_command, ""},
    {"version", no_run, version_command, "Version"},
    {"vps", no_run, vps_command, "VPSs"},
};

inline Invocation called(const std::vector<std::string>& argv) { return find_applet(kTestTable, argv).invocation; }

// The message of the usage error that `body` must throw: fact, newline, advice.
template <class Body>
std::string usage_error(const Body& body) {
  try {
    body();
  } catch (const UsageError& error) {
    return error.fact() + "\n" + error.next();
  }
  FAIL("no usage error");
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace riverbox::applets
