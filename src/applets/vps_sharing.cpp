#include "applets/vps_sharing.hpp"

#include "applets/api_client.hpp"
#include "applets/views.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {
namespace {

std::string path_of(const Arguments& arguments) { return "/api/vps/" + path_segment(arguments.value("VPS")) + "/assign"; }

}  // namespace

std::vector<Command> vps_sharing_subcommands() {
  const Argument vps{.name = "VPS", .help = "its name or its id", .complete = "vps"};
  return {{.name = "share",
           .summary = "Let others into a VPS",
           .examples = "{vps} share my-box alice bob\n{vps} show my-box",
           .details = "They see it in their lists, open terminals in it, reach its ports, stop and start it. They neither remove it nor let\n"
                      "others in. Inside they are root, as you are.",
           .arguments = {vps, {.name = "USER", .help = "the name of a user, as in `riverbox token list`", .repeated = true}}},
          {.name = "unshare",
           .summary = "Let them in no more",
           .examples = "{vps} unshare my-box bob",
           .details = "Terminals that they have open in it end. What they have changed in it stays, also a key for SSH.",
           .arguments = {vps, {.name = "USER", .help = "the name of the user", .repeated = true}}}};
}

int share_vps(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  return print_message(arguments, api.post(path_of(arguments), arguments.all("USER")));
}

int unshare_vps(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  for (const std::string& user : arguments.all("USER")) print_message(arguments, api.remove(path_of(arguments) + "/" + path_segment(user)));
  return 0;
}

std::string guests_of(const Json& vps) {
  std::vector<std::string> names;
  if (vps.contains("assignees"))
    for (const Json& guest : vps["assignees"]) names.push_back(text_of(guest, "username"));
  return join(names, ", ");
}

}  // namespace riverbox::applets
