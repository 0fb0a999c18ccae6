// riverbox events: what has happened on the host and its nodes.
#include <chrono>
#include <thread>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/views.hpp"
#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::applets {

namespace {

constexpr std::chrono::milliseconds kLookForEvents{500};
constexpr size_t kEventsAtOnce = 1000;  // the most that the host gives

// "2h" is two hours ago; without an offset a time is one of this machine.
WallTime moment_of(const char* option, const std::string& text) {
  return option_value(option, [&text] {
    try {
      return WallTime(wall_now() - parse_duration(text));
    } catch (const InvalidInput&) {
    }
    const bool date_alone = text.size() == 10, without_seconds = text.size() == 16;
    try {
      return parse_local(date_alone ? text + " 00:00:00" : without_seconds ? text + ":00" : text);
    } catch (const BadData&) {
      throw InvalidInput("'" + printable(text, 60) + "' is neither a time nor a duration", "Such as 30m, 2h, 2026-11-21, \"2026-11-21 14:00\" or 2026-11-21T13:00:00Z.");
    }
  });
}

Colour colour_of_action(const std::string& action, const std::string& message) {
  if (action == "ended") return colour_of_state(message.substr(0, message.find_first_of(",:")));
  return action == "retried" ? Colour::yellow : colour_of_state(action);
}

// A row of a table that is never complete: the columns are as wide as what is most often in them.
std::string line_of(const Json& event, bool colours) {
  const auto padded = [](std::string text, size_t width) { return text + std::string(text.size() < width ? width - text.size() : 0, ' ') + "  "; };
  const std::string action = text_of(event, "action"), message = text_of(event, "message", ""), node = text_of(event, "node", "");
  const char* colour = "";
  switch (colours ? colour_of_action(action, message) : Colour::none) {
    case Colour::green: colour = "\x1b[32m"; break;
    case Colour::yellow: colour = "\x1b[33m"; break;
    case Colour::red: colour = "\x1b[31m"; break;
    default: break;
  }
  std::string line = padded(to_local_iso(parse_rfc3339(text_of(event, "time"))).replace(10, 1, " ").substr(0, 19), 19) + padded(text_of(event, "type"), 11) + colour +
                     padded(action, 10) + (*colour ? "\x1b[0m" : "") + padded(printable(text_of(event, "subject"), 130), 19) + (node.empty() ? "" : padded(printable(node, 64), 0)) +
                     printable(message, 600);
  return line.erase(line.find_last_not_of(' ') + 1) + "\n";
}

// Asks for what follows, again and again: what was told last is all that there is to remember, whatever is restarted meanwhile.
class EventReader {
public:
  explicit EventReader(const Arguments& arguments) : arguments_(arguments), api_(client_config(arguments)), json_(wants_json(arguments)), colours_(!json_ && stdout_has_colours()) {
    if (const auto since = arguments.find("--since")) since_ = "&since=" + to_rfc3339(moment_of("--since", *since));
    if (const auto type = arguments.find("--type")) constant_ += "&type=" + percent_encoded(*type);
    if (const auto until = arguments.find("--until")) {
      until_ = moment_of("--until", *until);
      constant_ += "&until=" + to_rfc3339(*until_);
    }
  }

  int run() {
    const bool follow = arguments_.has("--follow");
    if (follow && since_.empty()) begin_now();
    if (!follow && since_.empty()) return tell(api_.get("/api/events?" + constant_)), 0;
    for (;;) {
      const size_t told = follow ? next_surely() : next();
      if (told == kEventsAtOnce) continue;
      if (!follow || (until_ && *until_ <= wall_now())) return 0;
      std::this_thread::sleep_for(kLookForEvents);
    }
  }

private:
  // The newest that may be seen is known already.
  void begin_now() {
    const Json newest = api_.get("/api/events?limit=1" + constant_);
    after_ = newest.empty() ? 0 : newest.back().value("id", std::int64_t{0});
  }

  size_t next() {
    const std::string from = after_ < 0 ? since_ : "&after=" + std::to_string(after_);
    return tell(api_.get("/api/events?limit=" + std::to_string(kEventsAtOnce) + from + constant_));
  }

  // A host that is away comes back.
  size_t next_surely() {
    try {
      const size_t told = next();
      away_ = false;
      return told;
    } catch (const Unavailable& error) {
      if (!std::exchange(away_, true)) write_err(arguments_.full_name + ": " + error.fact() + "; trying again\n");
    } catch (const Timeout&) {
    }
    return 0;
  }

  size_t tell(const Json& events) {
    std::string text;
    for (const Json& event : events) {
      text += json_ ? event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n" : line_of(event, colours_);
      after_ = event.value("id", after_);
    }
    if (!text.empty()) write_out(text);
    return events.size();
  }

  const Arguments& arguments_;
  ApiClient api_;
  const bool json_, colours_;
  std::string since_, constant_;
  std::optional<WallTime> until_;
  std::int64_t after_ = -1;  // the last that was told; -1: none yet
  bool away_ = false;
};

}  // namespace

const Command& events_command() {
  static const Command command = [] {
    Command c{
        .name = "events",
        .examples = "{events} --since 1h\n"
                    "{events} --follow --type node,environment\n"
                    "# tasks that failed since yesterday\n"
                    "{events} --since 24h --type task --json | grep '\"message\":\"failed'",
        .details = "Without --since the last 100. You see what you may see: users their own tasks, nodes and environments; operators all but tokens.",
        .options = {{.names = "--since", .value = "TIME", .help = "from then on: 30m, 2h, 7d ago, or a time such as \"2026-11-21 14:00\""},
                    {.names = "--until", .value = "TIME", .help = "up to then"},
                    {.names = "-f,--follow", .help = "and what comes, until Ctrl-C"},
                    {.names = "--type", .value = "TYPE[,TYPE...]", .help = "task, node, environment, host, token (all)", .complete = "task|node|environment|host|token"}},
    };
    for (Option& option : client_options()) c.options.push_back(std::move(option));
    return c;
  }();
  return command;
}

int run_events(const Invocation& invocation) {
  const Arguments arguments = parse(events_command(), invocation);
  return EventReader(arguments).run();
}

}  // namespace riverbox::applets
