// riverbox docker versions, diff, rollback, sync, pin, unpin, verify, delete-tar: the versions on the share.
#include <algorithm>

#include <fmt/format.h>

#include "applets/docker_commands.hpp"
#include "applets/exit_codes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::applets {

namespace {

constexpr auto kShareTimeout = std::chrono::seconds(120);
constexpr auto kDiffTimeout = std::chrono::seconds(330);  // the host gives up before
constexpr size_t kShownFiles = 40, kShownPackages = 40, kShownLayers = 12;  // --json has them all

std::string versions_path(const DockerCall& call) { return "/docker/versions/" + path_segment(call.arguments.value("NAME")); }

std::string bytes_text(const Json& object, const char* key) {
  const auto member = object.find(key);
  return member != object.end() && member->is_number_unsigned() ? human_bytes(member->get<std::uint64_t>()) : "-";
}

// "sha256:48381c25..." -> the 12 digits that people know from Docker
std::string short_id(const Json& object, const char* key) {
  const std::string id = text_of(object, key);
  return id.starts_with("sha256:") ? id.substr(7, 12) : id;
}

std::string age_of(const Json& version) {
  const auto created = version.find("created");
  if (created == version.end() || !created->is_string()) return "-";
  try {
    return ago(parse_rfc3339(created->get<std::string>()), wall_now());
  } catch (const Error&) {
    return "-";
  }
}

// "node1, node2 +3"
std::string node_names(const Json& version) {
  constexpr size_t kShown = 3;
  const auto nodes = version.find("nodes");
  if (nodes == version.end() || !nodes->is_array() || nodes->empty()) return "-";
  std::vector<std::string> names;
  for (const Json& node : *nodes)
    if (node.is_string() && names.size() < kShown) names.push_back(printable(node.get<std::string>(), 64));
  return join(names, ", ") + (nodes->size() > names.size() ? fmt::format(" +{}", nodes->size() - names.size()) : "");
}

int list_versions(const DockerCall& call) {
  const Json versions = call.api.get(versions_path(call), kShareTimeout);
  if (call.json) {
    write_out(json_text(versions));
    return 0;
  }
  Table table({"VERSION", "CREATED", "SIZE", "OWN", "LAYERS", "IMAGE ID", "NODES", "NOTE"});
  for (const size_t column : {2, 3, 4}) table.align_right(column);
  for (const Json& version : versions) {
    std::string note;
    const auto add = [&](const std::string& word) { note += (note.empty() ? "" : ", ") + word; };
    if (version.value("newest", false)) add("newest");
    if (version.value("pinned", false)) add("pinned");
    const std::string problem = text_of(version, "problem", "");
    if (!problem.empty()) add("cannot be read: " + problem);
    if (const std::string signature = text_of(version, "signature", ""); signature == "none") add("not signed");
    else if (!signature.empty() && signature != "valid") add("signature: " + signature);
    table.add({text_of(version, "timestamp"), age_of(version), bytes_text(version, "size_bytes"), bytes_text(version, "own_bytes"),
               text_of(version, "layers"), {short_id(version, "image_id"), Colour::grey}, node_names(version),
               {note, !problem.empty() ? Colour::red : version.value("pinned", false) ? Colour::green : Colour::none}});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

// ---- diff

std::string and_more(size_t shown, std::uint64_t all) { return all > shown ? fmt::format("  and {} more (--json shows them)\n", all - shown) : ""; }

std::string layers_text(const Json& layers, const char* key, const char* sign) {
  const Json& list = layers.at(key).at("layers");
  std::string text;
  for (size_t i = 0; i < std::min(list.size(), kShownLayers); ++i)
    text += fmt::format("  {} {}  {}\n", sign, short_id(list[i], "diff_id"), bytes_text(list[i], "size_bytes"));
  return text + and_more(std::min(list.size(), kShownLayers), list.size());
}

std::string packages_text(const Json& packages) {
  std::string text;
  for (const auto& [manager, changes] : packages.items()) {
    size_t all = 0;
    for (const char* key : {"added", "removed", "upgraded"}) all += changes.at(key).size();
    text += fmt::format("{} packages: {} added, {} removed, {} upgraded\n", printable(manager), changes.at("added").size(), changes.at("removed").size(),
                        changes.at("upgraded").size());
    size_t shown = 0;
    const auto line = [&](const char* sign, const Json& package, const std::string& version) {
      if (++shown <= kShownPackages) text += fmt::format("  {} {} {}\n", sign, printable(text_of(package, "name"), 100), printable(version, 100));
    };
    for (const Json& p : changes.at("added")) line("+", p, text_of(p, "version"));
    for (const Json& p : changes.at("removed")) line("-", p, text_of(p, "version"));
    for (const Json& p : changes.at("upgraded")) line("~", p, text_of(p, "from") + " -> " + text_of(p, "to"));
    text += and_more(std::min(shown, kShownPackages), all);
  }
  return text;
}

const char* sign_of(const std::string& change) {
  if (change == "added") return "+";
  if (change == "removed") return "-";
  if (change == "changed") return "~";
  return change == "written" ? "?" : "=";
}

std::string file_line(const Json& file) {
  const std::string change = text_of(file, "change"), type = text_of(file, "type");
  std::string line = fmt::format("  {} {}{}", sign_of(change), printable(text_of(file, "path"), 1000), type == "folder" ? "/" : "");
  const std::string before = bytes_text(file, "size_a"), after = bytes_text(file, "size_b");
  if (change == "changed" && before != after) line += fmt::format("  {} -> {}", before, after);
  else if (const std::string& size = change == "removed" ? before : after; size != "-") line += "  " + size;
  std::string differs;
  for (const Json& word : file.at("differs")) differs += (differs.empty() ? "" : ", ") + word.get<std::string>();
  return line + (differs.empty() ? "" : "  (" + differs + ")") + "\n";
}

std::string files_text(const Json& files) {
  std::string text = "Files: ";
  std::uint64_t all = 0;
  for (const char* change : {"added", "changed", "removed", "touched", "written"}) {
    const auto count = files.at(change).at("count").get<std::uint64_t>();
    if (count == 0 && std::string_view(change) == "written") continue;
    text += fmt::format("{}{} {}", change == std::string_view("added") ? "" : ", ", count, change == std::string_view("written") ? "added or changed" : change);
    if (count > 0 && files.at(change).at("bytes") != 0) text += " (" + bytes_text(files.at(change), "bytes") + ")";
    all += count;
  }
  text += "\n";
  const Json& list = files.at("list");
  const size_t shown = std::min(list.size(), kShownFiles);
  for (size_t i = 0; i < shown; ++i) text += file_line(list[i]);
  return text + and_more(shown, all);
}

int diff_versions(const DockerCall& call) {
  std::string query;
  for (const auto& [argument, key] : {std::pair{"A", "a"}, {"B", "b"}})
    if (const auto value = call.arguments.find(argument)) query += fmt::format("{}{}={}", query.empty() ? "?" : "&", key, percent_encoded(*value));
  const Json diff = call.api.get(versions_path(call) + "/diff" + query, kDiffTimeout);
  if (call.json) {
    write_out(json_text(diff));
    return 0;
  }
  try {
    const Json& layers = diff.at("layers");
    std::string text = fmt::format("{}  {} -> {}\n", printable(text_of(diff, "environment")), text_of(diff.at("a"), "timestamp"), text_of(diff.at("b"), "timestamp"));
    text += fmt::format("Layers: {} shared ({}), {} only in the first ({}), {} only in the second ({})\n", layers.at("shared").at("count").get<size_t>(),
                        bytes_text(layers.at("shared"), "bytes"), layers.at("only_a").at("count").get<size_t>(), bytes_text(layers.at("only_a"), "bytes"),
                        layers.at("only_b").at("count").get<size_t>(), bytes_text(layers.at("only_b"), "bytes"));
    text += layers_text(layers, "only_a", "-") + layers_text(layers, "only_b", "+");
    text += packages_text(diff.at("packages")) + files_text(diff.at("files"));
    for (const Json& note : diff.at("notes")) text += "Note: " + printable(note.get<std::string>(), 1000) + "\n";
    write_out(text);
  } catch (const Json::exception&) {
    throw BadData("the host's answer is not understood", "Host and client may be of different versions: compare `riverbox version` on both.");
  }
  return 0;
}

// ---- pin, unpin, delete-tar

int set_pin(const DockerCall& call, const char* verb) {
  return print_message(call, call.api.post(versions_path(call) + "/" + path_segment(call.arguments.value("VERSION")) + "/" + verb, nullptr, kShareTimeout));
}

int delete_tar(const DockerCall& call) {
  const auto version = call.arguments.find("VERSION");
  if (version && call.arguments.has("--all")) throw UsageError("VERSION and --all together are a contradiction.", "Give one of the two.");
  const Json body = {{"version", version ? Json(*version) : Json(nullptr)}, {"all", call.arguments.has("--all")}, {"force", call.arguments.has("--force")}};
  return print_message(call, call.api.post("/docker/delete_tar/" + path_segment(call.arguments.value("NAME")), body, kShareTimeout));
}

// ---- rollback, sync

int roll_back(const DockerCall& call) {
  const std::string path = versions_path(call) + "/" + path_segment(call.arguments.value("VERSION")) + "/rollback";
  return print_message(call, post_with_progress(call, path, {{"container", call.arguments.has("--container")}}, "The host goes on with the rollback."));
}

int sign(const DockerCall& call) {
  const std::string path = versions_path(call) + "/" + path_segment(call.arguments.value("VERSION")) + "/sign";
  return print_message(call, post_with_progress(call, path, nullptr, "Nothing is signed."));
}

int sync_nodes(const DockerCall& call) {
  Json body = Json::object();
  if (const auto version = call.arguments.find("VERSION")) body["version"] = *version;
  if (const auto nodes = call.arguments.all("--node"); !nodes.empty()) body["nodes"] = nodes;
  const Json result = post_with_progress(call, "/docker/sync/" + path_segment(call.arguments.value("NAME")), body, "The nodes go on loading.");
  if (call.json) {
    write_out(json_text(result));
  } else {
    Table table({"NODE", "STATE", "LOADED", "READ", "REASON"});
    table.align_right(3);
    for (const Json& node : result.value("nodes", Json::array())) {
      const bool ok = node.value("ok", false), loaded = node.value("loaded", false);
      table.add({text_of(node, "hostname"), {ok ? "ready" : "failed", ok ? Colour::green : Colour::red},
                 !ok ? "-" : loaded ? text_of(node, "way") : "was there", loaded ? bytes_text(node, "bytes_read") : "-", text_of(node, "message", "")});
    }
    write_out(table.render(stdout_has_colours()));
  }
  return result.value("failed", std::uint64_t{0}) == 0 ? 0 : kExitRefused;
}

// ---- verify

int verify(const DockerCall& call) {
  const auto name = call.arguments.find("NAME");
  const std::string path = name ? "/docker/verify/" + path_segment(*name) : "/docker/verify";
  const Json result = post_with_progress(call, path, nullptr, "The host stops reading, too; nothing is lost by that.");
  const Json versions = result.value("versions", Json::array());
  const auto damaged = result.value("damaged", std::uint64_t{0});
  if (call.json) {
    write_out(json_text(result));
  } else if (versions.empty()) {
    write_err("No tarballs yet. Package an environment: " + call.invocation.typed("docker") + " create-tar NAME\n");
  } else {
    Table table({"TARBALL", "SIZE", "STATE", "INDEX", "SIGNATURE", "NODES", "REASON"});
    table.align_right(1);
    for (const Json& version : versions) {
      const bool whole = text_of(version, "state") == "ok";
      const std::string problem = text_of(version, "index_problem", "");
      table.add({text_of(version, "tarball"), bytes_text(version, "size_bytes"), {text_of(version, "state"), whole ? Colour::green : Colour::red},
                 text_of(version, "index"), text_of(version, "signature"), node_names(version), text_of(version, "reason", problem)});
    }
    write_out(table.render(stdout_has_colours()));
  }
  if (const std::string advice = text_of(result, "advice", ""); !advice.empty() && !call.json) write_err(printable(advice, 500) + "\n");
  if (damaged == 0) return 0;
  write_err(fmt::format("{}: {} of {} versions {} damaged.\n"
                        "Damaged tarballs stay where they are: package the environment again with create-tar, or remove them with delete-tar.\n",
                        call.invocation.program(), damaged, versions.size(), damaged == 1 ? "is" : "are"));
  return kExitRefused;
}

constexpr DockerSubcommand kVersionSubcommands[] = {
    {"versions", list_versions},
    {"diff", diff_versions},
    {"pin", [](const DockerCall& call) { return set_pin(call, "pin"); }},
    {"unpin", [](const DockerCall& call) { return set_pin(call, "unpin"); }},
    {"rollback", roll_back},
    {"sign", sign},
    {"sync", sync_nodes},
    {"verify", verify},
    {"delete-tar", delete_tar},
};

}  // namespace

std::span<const DockerSubcommand> version_subcommands() { return kVersionSubcommands; }

Command with_version_commands(Command docker) {
  const Argument name{.name = "NAME", .help = "the name of the environment", .complete = "environments"};
  const Argument version{.name = "VERSION", .help = "its number, its tarball, newest, previous, or the first digits of its image ID", .complete = "versions"};
  const auto optional = [](Argument argument, const char* new_name = nullptr, const char* help = nullptr) {
    argument.required = false;
    if (new_name) argument.name = new_name;
    if (help) argument.help = help;
    return argument;
  };
  const std::vector<Command> commands = {
      {.name = "versions",
       .summary = "List the versions of an environment, the newest first",
       .examples = "{docker} versions my-env\n{docker} versions my-env --json | jq '.[] | select(.pinned)'",
       .details = "OWN is what a version takes beside the next older one: the layers that that one does not have.",
       .arguments = {name}},
      {.name = "diff",
       .summary = "Show what differs between two versions: layers, packages, files",
       .examples = "{docker} diff my-env\n{docker} diff my-env 1795302000 newest",
       .details = "Reads the layers that only one of the two has. A file that was written again as it was counts as touched.",
       .arguments = {name, optional(version, "A", "the first version (previous)"), optional(version, "B", "the second version (newest)")}},
      {.name = "pin",
       .summary = "Keep a version: neither create-tar nor delete-tar removes it",
       .examples = "{docker} pin my-env newest",
       .arguments = {name, version}},
      {.name = "unpin",
       .summary = "Take the pin of a version away",
       .examples = "{docker} unpin my-env 1795302000",
       .arguments = {name, version}},
      {.name = "rollback",
       .summary = "Make an older version the newest again",
       .examples = "{docker} rollback my-env previous\n{docker} rollback my-env 1795302000 --container",
       .details = "The same archive gets a new number, so every task takes it from now on. The environment container stays as it is,\n"
                  "unless --container makes it again from that version: what it held since is gone then.",
       .arguments = {name, version},
       .options = {{.names = "--container", .value = "", .help = "the environment container, too", .complete = ""}}},
      {.name = "sign",
       .summary = "Vouch for a version that this host has not made",
       .examples = "{docker} sign my-env 1795302000",
       .details = "create-tar signs by itself; this is for tarballs that came from elsewhere, after you have looked at them: nodes with\n"
                  "[security] signatures = \"require\" load nothing else. Every layer is read and compared with its digest before.",
       .arguments = {name, version}},
      {.name = "sync",
       .summary = "Bring a version to the nodes now, before a task asks for it",
       .examples = "{docker} sync my-env\n{docker} sync my-env --node node1 --node node2\n{docker} sync my-env 1795302000",
       .details = "Without --node to all that are connected. The newest version, if none is named. Exits with 1 when a node failed.",
       .arguments = {name, optional(version)},
       .options = {{.names = "--node", .value = "NODE", .help = "to this node; repeatable", .complete = "nodes"}}},
      {.name = "verify",
       .summary = "Read tarballs completely and compare every layer with its digest",
       .examples = "{docker} verify\n{docker} verify my-env",
       .details = "Reports what is damaged and exits with 1 then; deletes nothing. Indexes that are missing or wrong are written anew.\n"
                  "NODES are those whose Docker holds the version.",
       .arguments = {optional(name)}},
      {.name = "delete-tar",
       .summary = "Delete a version from the share",
       .examples = "{docker} delete-tar my-env 1795302000\n{docker} delete-tar old-env --all",
       .details = "VERSION may be left out where there is only one. Refused while the version is pinned, or the newest one and a task\n"
                  "that is not finished uses the environment.",
       .arguments = {name, optional(version)},
       .options = {{.names = "--all", .value = "", .help = "all versions of the environment", .complete = ""},
                   {.names = "--force", .value = "", .help = "also what is pinned or in use", .complete = ""}}},
  };
  docker.subcommands.insert(docker.subcommands.end(), commands.begin(), commands.end());
  return docker;
}

}  // namespace riverbox::applets
