// riverbox vps snapshot, snapshots, snapshot-rm, restore, publish: states of a VPS that are kept (docs/vps.md).
#include <iterator>

#include "applets/api_client.hpp"
#include "applets/progress.hpp"
#include "applets/views.hpp"
#include "applets/vps_commands.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {
namespace {

Argument a_snapshot() { return {.name = "SNAPSHOT", .help = "its number or tag; without one the latest", .required = false}; }

std::string bytes_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? human_bytes(found->get<std::uint64_t>()) : "-";
}

// Ctrl-C ends the waiting, not the work.
Json post_long(const Arguments& arguments, std::string_view verb, const Json& body, const std::string& when_interrupted) {
  ApiClient api(client_config(arguments));
  const InterruptToken interrupt;
  ProgressLine line;
  try {
    return api.post_long(vps_path(arguments, verb), body, [&line](const Progress& p) { line.update(p.step, p.bytes, p.total_bytes); }, interrupt.token());
  } catch (const Cancelled&) {
    throw Cancelled("interrupted.", when_interrupted);
  }
}

int take_snapshot(const Invocation& invocation, const Arguments& arguments) {
  Json body = Json::object();
  if (const auto message = arguments.find("--message")) body["message"] = *message;
  const Json answer = post_long(arguments, "snapshots", body, "The node goes on taking it; it will be in: " + invocation.typed("vps") + " snapshots " + printable(arguments.value("VPS")));
  if (wants_json(arguments)) return print(answer);
  write_out(text_of(answer, "message") + " It adds " + bytes_of(answer.value("snapshot", Json::object()), "own_bytes") + ".\n");
  return 0;
}

int list_snapshots(const Invocation& invocation, const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json answer = api.get(vps_path(arguments, "snapshots"));
  if (wants_json(arguments)) return print(answer);
  const Json snapshots = answer.value("snapshots", Json::array());
  if (snapshots.empty()) {
    write_err("It has no snapshots. Take one: " + invocation.typed("vps") + " snapshot " + printable(arguments.value("VPS")) + "\n");
    return 0;
  }
  Table table({"SNAPSHOT", "TAKEN", "OWN", "SIZE", "IN USE", "MESSAGE"});
  table.align_right(2);
  table.align_right(3);
  for (const Json& one : snapshots)
    table.add({{text_of(one, "timestamp")}, {short_time(one, "created_at")}, {bytes_of(one, "own_bytes")}, {bytes_of(one, "size")}, {one.value("in_use", false) ? "yes" : "no"}, {text_of(one, "message")}});
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int remove_snapshot(const Invocation&, const Arguments& arguments) {
  const auto which = arguments.find("SNAPSHOT");
  const bool all = arguments.has("--all");
  if (all == which.has_value()) throw UsageError(all ? "a snapshot and --all together are a contradiction." : "say which snapshot.", "Give one of them, or --all.");
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.remove(vps_path(arguments, "snapshots") + (all ? "" : "/" + path_segment(*which))));
}

int restore(const Invocation&, const Arguments& arguments) {
  Json body = Json::object();
  if (const auto which = arguments.find("SNAPSHOT")) body["snapshot"] = *which;
  if (arguments.has("--discard")) body["discard"] = true;
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post(vps_path(arguments, "restore"), body, kBeginsAgain));
}

int publish(const Invocation& invocation, const Arguments& arguments) {
  const std::string name = arguments.value("NAME");
  const Json answer = post_long(arguments, "publish", {{"name", name}}, "The host goes on publishing it; it will be in: " + invocation.typed("docker") + " list-tars");
  if (wants_json(arguments)) return print(answer);
  write_out(text_of(answer, "message") + " The tarball has " + bytes_of(answer, "size_bytes") + ".\n");
  return 0;
}

Option discard_option() { return {.names = "--discard", .help = "take no snapshot of what is in it now"}; }

struct Entry {
  std::string_view name;
  SnapshotCommand run;
};
constexpr Entry kCommands[] = {{"snapshot", take_snapshot}, {"snapshots", list_snapshots}, {"snapshot-rm", remove_snapshot}, {"restore", restore}, {"publish", publish}};

}  // namespace

std::vector<Option> beginning_options() {
  return {{.names = "--from", .value = "SNAPSHOT", .help = "begin anew as a snapshot of it: its number or tag, or latest"},
          {.names = "--fresh", .help = "begin anew from its environment"},
          discard_option()};
}

Json beginning_of(const Arguments& arguments) {
  Json body = Json::object();
  if (const auto from = arguments.find("--from")) body["from"] = *from;
  for (const char* flag : {"--fresh", "--discard"})
    if (arguments.has(flag)) body[flag + 2] = true;
  return body;
}

SnapshotCommand snapshot_command(std::string_view name) {
  for (const Entry& entry : kCommands)
    if (entry.name == name) return entry.run;
  return nullptr;
}

Command with_snapshot_commands(Command vps) {
  Command own[] = {{.name = "snapshot",
                    .summary = "Take a snapshot of a VPS",
                    .examples = "{vps} snapshot my-box -m 'before the upgrade'",
                    .details = "Keeps what is in it now, without its mounts and volumes. One that runs stands still for some seconds of each GB that has changed.",
                    .arguments = {a_vps()},
                    .options = {{.names = "-m,--message", .value = "TEXT", .help = "what for"}}},
                   {.name = "snapshots", .summary = "List the snapshots of a VPS, newest first", .examples = "{vps} snapshots my-box", .arguments = {a_vps()}},
                   {.name = "restore",
                    .summary = "Make a VPS as it was in a snapshot",
                    .examples = "{vps} restore my-box\n{vps} restore my-box 1795302612",
                    .details = "Stops it and starts it again in a new container. Of what is in it now a snapshot is taken first.",
                    .arguments = {a_vps(), a_snapshot()},
                    .options = {discard_option()}},
                   {.name = "snapshot-rm",
                    .summary = "Delete snapshots of a VPS",
                    .examples = "{vps} snapshot-rm my-box 1795302612\n{vps} snapshot-rm my-box --all",
                    .arguments = {a_vps(), {.name = "SNAPSHOT", .help = "its number or tag, or latest", .required = false}},
                    .options = {{.names = "--all", .help = "all but the one that it was made of"}}},
                   {.name = "publish",
                    .summary = "Make a new version of an environment of a VPS",
                    .examples = "{vps} publish my-box my-env\n{vps} create --container my-env --target other-node",
                    .details = "What is in it becomes the newest version of the environment, on the share, for all nodes. It needs the role operator.",
                    .arguments = {a_vps(), {.name = "NAME", .help = "the environment; it need not exist", .complete = "environments"}}}};
  vps.subcommands.insert(vps.subcommands.end(), std::make_move_iterator(std::begin(own)), std::make_move_iterator(std::end(own)));
  return vps;
}

}  // namespace riverbox::applets
