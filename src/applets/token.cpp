// riverbox token: who may do what on this host.
#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/views.hpp"
#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::applets {

namespace {

constexpr const char* kRoles = "viewer|user|operator|admin";

// Of this machine; "-": never.
std::string local_time(const Json& token, const char* key) {
  const std::string time = text_of(token, key);
  return time == "-" ? time : to_local_iso(parse_rfc3339(time)).replace(10, 1, " ").substr(0, 19);
}

int create(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  Json body{{"user", arguments.value("USER")}, {"role", arguments.value("--role", "user")}, {"note", arguments.value("--note")}};
  if (const auto expires = arguments.find("--expires")) body["expires_seconds"] = option_value("--expires", [&expires] { return parse_duration(*expires); }).count();
  const Json made = api.post("/api/tokens", body);
  if (arguments.has("--json")) return print(made);
  write_out(text_of(made, "token") + "\n");
  const std::string until = made.value("expires_at", Json()).is_null() ? "until it is revoked" : "until " + local_time(made, "expires_at");
  write_err("This is the only time that it is shown. It makes its owner " + text_of(made, "user") + ", role " + text_of(made, "role") + ", " + until +
            ".\nThe owner puts it into ~/.riverbox/token (mode 0600) or $RIVERBOX_TOKEN. To take it back: riverbox token revoke " + text_of(made, "id") + "\n");
  return 0;
}

int list(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json tokens = api.get("/api/tokens");
  if (wants_json(arguments)) return print(tokens);
  if (tokens.empty()) {
    write_err("There is only the administrator's token, in the token file of the host. For a user: riverbox token create NAME\n");
    return 0;
  }
  Table table({"ID", "USER", "ROLE", "CREATED", "EXPIRES", "LAST USED", "NOTE"});
  for (const Json& token : tokens) {
    table.add({text_of(token, "id"), text_of(token, "user"), text_of(token, "role"), local_time(token, "created_at"), local_time(token, "expires_at"),
               local_time(token, "last_used_at"), text_of(token, "note")});
  }
  write_out(table.render(stdout_has_colours()));
  return 0;
}

int who_am_i(const Arguments& arguments) {
  ApiClient api(client_config(arguments));
  const Json me = api.get("/api/whoami");
  if (wants_json(arguments)) return print(me);
  write_out(me["role"].is_null() ? "anybody: authentication is off on this host\n" : text_of(me, "user") + ", role " + text_of(me, "role") + "\n");
  return 0;
}

}  // namespace

const Command& token_command() {
  static const Command command{
      .name = "token",
      .examples = "{token} create alice\n"
                  "{token} create monitoring --role viewer --expires 365d --note \"the dashboard in the hall\"\n"
                  "{token} list\n"
                  "{token} revoke 1f3a5c7e",
      .details = "viewer: sees nodes and environments. user: also submits tasks, and sees and steers their own. operator: also makes and\n"
                 "changes environments, and sees all tasks. admin: everything. The token that the first start of the host makes is an admin's.",
      .options = client_options(),
      .subcommands = {{.name = "create",
                       .summary = "Make a token for a user",
                       .examples = "{token} create alice\n{token} create ci --role operator --expires 90d",
                       .details = "Prints the token, once. A user may have several: their tasks belong to the name.",
                       .arguments = {{.name = "USER", .help = "whose it is: letters, digits and . _ - @"}},
                       .options = {{.names = "--role", .value = "ROLE", .help = "viewer, user, operator or admin (user)", .complete = kRoles},
                                   {.names = "--expires", .value = "TIME", .help = "after so long, such as 90d (never)"},
                                   {.names = "--note", .value = "TEXT", .help = "where it is used, for the list"}}},
                      {.name = "list", .summary = "List the tokens", .examples = "{token} list"},
                      {.name = "revoke",
                       .summary = "Take a token back, at once",
                       .examples = "{token} revoke 1f3a5c7e",
                       .arguments = {{.name = "ID", .help = "the first column of the list", .complete = "tokens"}}},
                      {.name = "whoami", .summary = "Who the host takes you for", .examples = "{token} whoami"}},
  };
  return command;
}

int run_token(const Invocation& invocation) {
  const Arguments arguments = parse(token_command(), invocation);
  const std::string& name = arguments.command->name;
  if (name == "create") return create(arguments);
  if (name == "list") return list(arguments);
  if (name == "whoami") return who_am_i(arguments);
  if (name == "revoke") return print_message(arguments, ApiClient(client_config(arguments)).post("/api/tokens/" + path_segment(arguments.value("ID")) + "/revoke"));
  throw InternalError("no function for " + name);
}

}  // namespace riverbox::applets
