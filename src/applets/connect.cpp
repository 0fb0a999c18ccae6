// riverbox connect: a shared terminal in a running task or VPS; and what `riverbox vps connect` shares with it.
#include <unistd.h>

#include <set>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/task_commands.hpp"
#include "applets/terminal.hpp"
#include "applets/views.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"
#include "os/tty.hpp"
#include "terminal/session_wish.hpp"

namespace riverbox::applets {
namespace {

// A VPS by its name or its id, a task by its id: names are never digits alone.
std::string id_of(ApiClient& api, const std::string& target) {
  if (parse_u64(target)) return TaskId::parse(target).str();
  return text_of(api.get("/api/vps/" + path_segment(target)), "task_id");
}

std::string sessions_path(const std::string& id) { return "/api/tasks/" + id + "/sessions"; }

int list_sessions(const Arguments& arguments, const Json& sessions, const std::string& target) {
  if (wants_json(arguments)) return print(sessions);
  if (sessions.empty()) {
    write_err("There are no sessions. Begin one: riverbox connect " + target + "\n");
    return 0;
  }
  Table table({"SESSION", "CLIENTS", "WATCHING", "SIZE", "SINCE"});
  for (const Json& session : sessions)
    table.add({{text_of(session, "name")}, {text_of(session, "clients")}, {text_of(session, "watchers")}, {text_of(session, "rows") + "x" + text_of(session, "cols")}, {short_time(session, "since")}});
  write_out(table.render(stdout_has_colours()));
  return 0;
}

// The first name that is free: main, main-2, main-3.
std::string free_name(const Json& sessions) {
  std::set<std::string> taken;
  for (const Json& session : sessions) taken.insert(text_of(session, "name"));
  std::string name = terminal::ClientOptions::Session().name;
  for (int i = 2; taken.contains(name); ++i) name = terminal::ClientOptions::Session().name + "-" + std::to_string(i);
  return name;
}

}  // namespace

std::vector<Option> connect_options() {
  return {{.names = "--session", .value = "NAME", .help = "join this one (main), or begin it"},
          {.names = "--new", .help = "begin a session, and join none that is there"},
          {.names = "--watch", .help = "look on; what is typed goes nowhere, Ctrl-C leaves"},
          {.names = "--list", .help = "tell which sessions there are"},
          detach_keys_option("leave with these (ctrl-p,ctrl-q), and the shell goes on; '' for none")};
}

int connect_to(const Arguments& arguments, const std::string& target) {
  ApiClient api(client_config(arguments));
  const std::string id = id_of(api, target);
  if (arguments.has("--list")) return list_sessions(arguments, api.get(sessions_path(id)), target);
  terminal::ClientOptions::Session session{.watch = arguments.has("--watch"), .fresh = arguments.has("--new")};
  const bool named = arguments.has("--session");
  if (session.watch && session.fresh) throw UsageError("--watch and --new do not go together.", "A session that is new has nothing to show.");
  if (named) session.name = terminal::SessionName::parse(arguments.value("--session")).str();
  if (!(os::is_tty(STDIN_FILENO) && os::is_tty(STDOUT_FILENO)) && (named || session.watch || session.fresh))
    throw UsageError("A session wants a terminal.", "Without one, what is piped is run by a shell of its own: leave out --session, --new and --watch.");
  if (session.fresh && !named) session.name = free_name(api.get(sessions_path(id)));
  session.come_back = "riverbox connect " + target + (session.name == terminal::ClientOptions::Session().name ? "" : " --session " + session.name) + (session.watch ? " --watch" : "");
  return run_terminal(arguments, "/api/tasks/" + id + "/terminal",
                      {.url = {}, .token = {}, .name = target, .when_missing = "A host of an older version opens no terminals in tasks. What there is: riverbox task list, riverbox vps list.", .session = session});
}

namespace {

std::vector<Option> all_options() {
  std::vector<Option> all = client_options();
  for (Option& option : connect_options()) all.push_back(std::move(option));
  return all;
}

}  // namespace

const Command& connect_command() {
  static const Command command{
      .name = "connect",
      .examples = "{connect} my-box\n"
                  "# look over somebody's shoulder\n"
                  "{connect} my-box --watch\n"
                  "# a second shell beside the first\n"
                  "{connect} 7265342119845888000 --session logs",
      .details = "Joins the session \"main\" in a running task or VPS: a shell that stays when its clients leave or break off.\n"
                 "All who join see the same and type into the same; the last MiB that it has said is shown first. When the\n"
                 "connection breaks, it is dialled again until the session is over. Whoever may open a terminal there may join.\n"
                 "What is piped is run by a shell of its own, whose exit status becomes ours.",
      .arguments = {{.name = "TARGET", .help = "the name of a VPS, or the id of a VPS or a task", .complete = "vps"}},
      .options = all_options(),
  };
  return command;
}

int run_connect(const Invocation& invocation) {
  const Arguments arguments = parse(connect_command(), invocation);
  return connect_to(arguments, arguments.value("TARGET"));
}

}  // namespace riverbox::applets
