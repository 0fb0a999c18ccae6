// riverbox docker: environment containers and their tarballs (seeds 000 and 001). Thin: the host does everything.
#include <algorithm>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/docker_commands.hpp"
#include "applets/exit_codes.hpp"
#include "applets/progress.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::applets {

int print_message(const DockerCall& call, const Json& answer) {
  if (call.json)
    write_out(json_text(with_key_order(answer, {"message"})));
  else
    write_out(printable(text_of(answer, "message", "Done."), 2000) + "\n");
  return 0;
}

Json post_with_progress(const DockerCall& call, const std::string& path, const Json& body, const std::string& when_interrupted) {
  ProgressLine line;
  InterruptToken interrupt;
  try {
    return call.api.post_long(path, body, [&line](const Progress& p) { line.update(p.step, p.bytes, p.total_bytes); }, interrupt.token());
  } catch (const Cancelled&) {
    throw Cancelled("interrupted.", when_interrupted);
  }
}

namespace {

// Stop and delete wait for the container's processes to end.
constexpr auto kContainerTimeout = std::chrono::seconds(150);

// What to type next, for people.
void hint(const DockerCall& call, const std::string& text) {
  if (!call.json && stderr_is_terminal()) write_err(text + "\n");
}

Colour colour_of_status(const std::string& status) {
  if (status.rfind("Up", 0) == 0) return status.find("(Paused)") == std::string::npos ? Colour::green : Colour::yellow;
  if (status.rfind("Exited (0)", 0) == 0 || status.rfind("Created", 0) == 0) return Colour::none;
  return Colour::yellow;
}

int list_containers(const DockerCall& call) {
  Json containers = call.api.get("/docker/host/containers");
  for (Json& container : containers) container = with_key_order(container, {"id", "name", "image", "status", "managed"});
  if (call.json) {
    write_out(json_text(containers));
    return 0;
  }
  if (containers.empty()) {
    write_err("No environment containers yet. Make one: " + call.invocation.typed("docker") + " create-container python:3.11-slim my-env\n");
    return 0;
  }
  const bool knows_owner = std::any_of(containers.begin(), containers.end(), [](const Json& c) { return c.contains("managed"); });
  std::vector<std::string> header{"NAME", "STATUS", "IMAGE", "ID"};
  if (knows_owner) header.push_back("MANAGED");
  Table table(header);
  for (const Json& container : containers) {
    const bool managed = container.value("managed", true);
    const std::string status = text_of(container, "status");
    std::vector<Table::Cell> row{{text_of(container, "name"), managed ? Colour::none : Colour::grey},
                                 {status, managed ? colour_of_status(status) : Colour::grey},
                                 {text_of(container, "image"), managed ? Colour::none : Colour::grey},
                                 {text_of(container, "id"), Colour::grey}};
    if (knows_owner) row.emplace_back(managed ? "yes" : "no", managed ? Colour::none : Colour::grey);
    table.add(std::move(row));
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int list_tars(const DockerCall& call) {
  if (call.json) {
    write_out(call.api.get_text("/docker/list"));
    return 0;
  }
  const Json tars = call.api.get("/docker/list");
  if (tars.empty()) {
    write_err("No tarballs yet. Package an environment: " + call.invocation.typed("docker") + " create-tar NAME\n");
    return 0;
  }
  Table table({"NAME", "PACKAGED", "SIZE", "VERSIONS", "TARBALL"});
  table.align_right(2);
  table.align_right(3);
  static const Json kNone = Json::array();
  for (const auto& [name, entry] : tars.items()) {
    const auto seconds = entry.value("latest_timestamp", std::int64_t{0});
    const auto found = entry.find("all_versions");
    const Json& versions = found == entry.end() ? kNone : *found;
    const bool has_size = !versions.empty() && versions[0].contains("size_bytes") && versions[0]["size_bytes"].is_number_unsigned();
    table.add({name, ago(WallTime(std::chrono::seconds(seconds)), wall_now()),
               has_size ? human_bytes(versions[0]["size_bytes"].get<std::uint64_t>()) : std::string("-"), std::to_string(versions.size()),
               text_of(entry, "latest_tarball")});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int create_container(const DockerCall& call) {
  const std::string image = call.arguments.value("IMAGE"), name = call.arguments.value("NAME");
  const Json answer = post_with_progress(call, "/docker/host/create", {{"image_name", image}, {"container_name", name}},
                                    "The host goes on making '" + printable(name) +
                                        "'; it will be in: " + call.invocation.typed("docker") + " list-containers");
  print_message(call, answer);
  hint(call, "Next, open a shell in it: " + call.invocation.typed("docker-shell") + " " + shell_quoted(name));
  return 0;
}

int create_tar(const DockerCall& call) {
  const std::string name = call.arguments.value("NAME");
  const std::string path = "/docker/create_tar/" + path_segment(name) + (call.arguments.has("--squash") ? "?squash=1" : "");
  const Json answer = post_with_progress(call, path, nullptr,
                                    "The host goes on packaging '" + printable(name) +
                                        "'; the tarball will be in: " + call.invocation.typed("docker") + " list-tars");
  if (call.json) {
    write_out(json_text(with_key_order(answer, {"message", "tarball_path"})));
    return 0;
  }
  const bool has_size = answer.contains("size_bytes") && answer["size_bytes"].is_number_unsigned();
  write_out("Packaged " + printable(name) + " as " + printable(text_of(answer, "tarball_path"), 4000) +
            (has_size ? " (" + human_bytes(answer["size_bytes"].get<std::uint64_t>()) + ")" : "") + "\n");
  hint(call, "Next, use it in a task: " + call.invocation.typed("client") + " --container " + shell_quoted(name) + " --wait -- COMMAND");
  return 0;
}

// delete, stop, start
int change_container(const DockerCall& call, const char* verb) {
  const std::string path = std::string("/docker/host/") + verb + "/" + path_segment(call.arguments.value("NAME"));
  return print_message(call, call.api.post(path, nullptr, kContainerTimeout));
}

constexpr DockerSubcommand kSubcommands[] = {
    {"list-containers", list_containers},
    {"create-container", create_container},
    {"delete-container", [](const DockerCall& call) { return change_container(call, "delete"); }},
    {"stop-container", [](const DockerCall& call) { return change_container(call, "stop"); }},
    {"start-container", [](const DockerCall& call) { return change_container(call, "start"); }},
    {"list-tars", list_tars},
    {"create-tar", create_tar},
};

}  // namespace

const Command& docker_command() {
  static const Argument name{.name = "NAME", .help = "the name of the environment", .complete = "containers"};
  static const Command command = with_version_commands({
      .name = "docker",
      .examples = "# make an environment, change it, package it for every node\n"
                  "{docker} create-container python:3.11-slim my-env\n"
                  "{docker-shell} my-env\n"
                  "{docker} create-tar my-env\n"
                  "# what there is\n"
                  "{docker} list-containers\n"
                  "{docker} list-tars\n"
                  "{docker} diff my-env",
      .details = "Manages the containers on the host in which environments are made, and the tarballs on the\n"
                 "share from which every runner brings itself up to date.",
      .options = client_options(),
      .subcommands =
          {
              {.name = "list-containers",
               .summary = "List the containers on the host",
               .examples = "{docker} list-containers\n{docker} list-containers --json | jq -r '.[].name'"},
              {.name = "create-container",
               .summary = "Create an environment container from an image",
               .examples = "{docker} create-container python:3.11-slim my-python-env\n"
                           "{docker} create-container tensorflow/tensorflow:latest-gpu my-tensorflow-env",
               .details = "Pulls the image on the host if it is not there and starts a container that stays, to be changed\n"
                          "with {docker-shell}.",
               .arguments = {{.name = "IMAGE", .help = "a Docker image, such as ubuntu:22.04"},
                             {.name = "NAME", .help = "the name of the new environment: a-z 0-9 . _ -"}}},
              {.name = "delete-container",
               .summary = "Stop and remove an environment container; its tarballs stay",
               .examples = "{docker} delete-container old-env",
               .arguments = {name}},
              {.name = "stop-container",
               .summary = "Stop an environment container",
               .examples = "{docker} stop-container my-env",
               .arguments = {name}},
              {.name = "start-container",
               .summary = "Start a stopped environment container",
               .examples = "{docker} start-container my-env",
               .arguments = {name}},
              {.name = "list-tars",
               .summary = "List the tarballs on the share, the newest of each environment",
               .examples = "{docker} list-tars\n{docker} list-tars --json | jq 'keys'"},
              {.name = "create-tar",
               .summary = "Package an environment container as a tarball on the share",
               .examples = "{docker} create-tar my-env",
               .details = "Stops the container, commits it, starts it again if it was running, writes <NAME>-<unix seconds>.tar to the\n"
                          "share and removes older versions. Runners take what has changed with their next task.",
               .arguments = {name},
               .options = {{.names = "--squash", .value = "", .help = "make all layers one; done by itself when there are many", .complete = ""}}},
          },
  });
  return command;
}

int run_docker(const Invocation& invocation) {
  const Arguments arguments = parse(docker_command(), invocation);
  ApiClient api(client_config(arguments));
  const DockerCall call{invocation, arguments, api, arguments.has("--json") || !stdout_is_terminal()};
  for (const auto table : {std::span<const DockerSubcommand>(kSubcommands), version_subcommands()})
    for (const DockerSubcommand& subcommand : table)
      if (arguments.command->name == subcommand.name) return subcommand.run(call);
  throw InternalError("no function for " + arguments.command->name);
}

}  // namespace riverbox::applets
