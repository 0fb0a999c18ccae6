// What the files behind `riverbox docker` share: docker.cpp (containers, packaging) and docker_versions.cpp (versions on the share).
#pragma once
#include <span>
#include <string>

#include "applets/api_client.hpp"
#include "applets/applet.hpp"
#include "applets/cli.hpp"
#include "applets/output.hpp"
#include "base/json.hpp"

namespace riverbox::applets {

struct DockerCall {
  const Invocation& invocation;
  const Arguments& arguments;
  ApiClient& api;
  bool json;  // stdout carries JSON; else this is a person at a terminal
};

struct DockerSubcommand {
  const char* name;
  int (*run)(const DockerCall&);
};

// For the commands whose answer is {"message": ...}.
int print_message(const DockerCall& call, const Json& answer);
// A long POST with its progress line; `when_interrupted` says what Ctrl-C leaves behind.
Json post_with_progress(const DockerCall& call, const std::string& path, const Json& body, const std::string& when_interrupted);

// docker_versions.cpp
std::span<const DockerSubcommand> version_subcommands();
Command with_version_commands(Command docker);

}  // namespace riverbox::applets
