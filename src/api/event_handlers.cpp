// GET /events: what has happened, as a list or, for a client that accepts text/event-stream, as it comes (docs/api.md, "Events").
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "api/events.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::api {
namespace {

using EventQuery = store::EventRepository::Query;

constexpr std::int64_t kKeptEvents = 200'000;    // some 25 MB
constexpr std::int64_t kPrunedAtOnce = 5000;     // a few milliseconds of the state worker
constexpr int kMostEvents = 1000;                // in one answer
constexpr auto kLook = std::chrono::milliseconds(200);
constexpr auto kLookAtNodes = std::chrono::seconds(1);
constexpr auto kSilence = std::chrono::seconds(15);  // proxies cut what is silent for a minute
// To who is told of nodes: JavaScript sees no comments, and a page has to notice that the host has vanished. Others get no event that they have not asked for.
constexpr const char* kAlive = "event: alive\ndata: {}\n\n";
constexpr size_t kEnoughQueued = 256 * 1024;     // towards the reader

// Who may be told of what.
struct EventType {
  std::string_view name;
  Role least;
};
constexpr EventType kEventTypes[] = {{"task", Role::user}, {"node", Role::viewer}, {"environment", Role::viewer}, {"host", Role::operator_}, {"token", Role::admin}};

std::vector<std::string_view> types_for(const Identity& identity, const std::string& asked) {
  std::vector<std::string_view> types;
  for (const auto& type : kEventTypes)
    if (asked.empty() && identity.role >= type.least) types.push_back(type.name);
  if (asked.empty()) return types;
  for (const std::string& word : split(asked, ',')) {
    const auto* known = std::find_if(std::begin(kEventTypes), std::end(kEventTypes), [&](const EventType& type) { return type.name == word; });
    if (known == std::end(kEventTypes)) throw InvalidInput("there are no events of the type '" + printable(word, 40) + "'", "There are task, node, environment, host and token.");
    if (identity.role < known->least)
      throw Forbidden(fmt::format("events of the type '{}' need the role {}, and '{}' is a {}", word, to_string(known->least), identity.name, to_string(identity.role)));
    types.push_back(known->name);
  }
  return types;
}

std::optional<WallTime> moment(const net::Request& request, const char* key) {
  const auto found = request.query.find(key);
  if (found == request.query.end()) return std::nullopt;
  try {
    return parse_rfc3339(found->second);
  } catch (const BadData& error) {
    throw InvalidInput(std::string("'") + key + "': " + error.fact(), "Such as 2026-11-21T23:10:12Z.");
  }
}

std::uint64_t whole_number(const std::string& text, const char* what, std::uint64_t most) {
  const auto number = parse_u64(text);
  if (!number || *number > most) throw InvalidInput(fmt::format("'{}' must be a number from 0 to {}", what, most));
  return *number;
}

// A browser that comes back says where it was, with the query of its first request.
EventQuery asked_events(const Call& call) {
  const auto& request = call.request;
  const auto text = [&](const char* key) {
    const auto found = request.query.find(key);
    return found == request.query.end() ? std::string() : found->second;
  };
  EventQuery query{.types = types_for(call.identity, text("type")), .owner = owner_filter(call.identity), .subject = text("subject"), .since = moment(request, "since"), .until = moment(request, "until")};
  const auto* last = request.header("last-event-id");
  const std::string after = last && !last->empty() ? *last : text("after");
  constexpr std::uint64_t kLargest = 1ull << 62;
  if (!after.empty()) query.after = static_cast<std::int64_t>(whole_number(after, "after", kLargest));
  if (const auto limit = text("limit"); !limit.empty()) query.limit = static_cast<int>(std::clamp<std::uint64_t>(whole_number(limit, "limit", kMostEvents), 1, kMostEvents));
  query.newest = after.empty() && !query.since;
  return query;
}

Json event_shape(const store::EventRecord& event) {
  Json out;
  out["id"] = event.id;
  out["time"] = to_rfc3339(event.time);
  out["type"] = event.type;
  out["action"] = event.action;
  out["subject"] = event.subject;
  out["owner"] = or_null(event.owner);
  out["node"] = or_null(event.node);
  out["message"] = or_null(event.message);
  return out;
}

// Tells a client what comes. The table is the queue: where something has been written, it is looked at. Loop thread.
class EventFollower : public std::enable_shared_from_this<EventFollower> {
public:
  // `nodes`: it is told of them, too.
  EventFollower(Services& services, EventQuery query, bool nodes) : services_(services), query_(std::move(query)), nodes_(nodes), timer_(services.loop) {
    query_.newest = false;
    query_.limit = kMostEvents;
  }

  void start(Call& call) {
    net::Response head{.content_type = "text/event-stream"};
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    body_ = call.responder->open(std::move(head), {.drained = [] {}, .closed = [weak = weak_from_this()] {
                                                     if (const auto self = weak.lock()) self->closed();
                                                   }});
    if (!body_) return;
    services_.guests.add(call.identity.token_id, shared_from_this(), [](EventFollower& cut) {
      cut.body_.reset();
      cut.closed();
    });
    write(fmt::format("retry: 1000\nid: {}\n\n", query_.after));  // whoever is cut off before the first event knows where it was, too
    wait();
    if (nodes_) ask_for_nodes();
    look();
  }

private:
  // The wait for the next look keeps the follower alive.
  void wait() {
    timer_.expires_after(kLook);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (error || self->closed_) return;
      self->wait();
      self->look_at_nodes();
      self->look();
    });
  }

  void look() {
    if (std::chrono::steady_clock::now() - told_ > kSilence && body_->queued_bytes() == 0) write(nodes_ ? kAlive : ": keep-alive\n\n");
    const auto changes = services_.database.changes();
    const bool over = query_.until && *query_.until <= wall_now();
    if (asking_ || (changes == seen_ && !over) || body_->queued_bytes() > kEnoughQueued) return;
    asking_ = true;
    const bool posted = services_.state.post([weak = weak_from_this(), &services = services_, query = query_, changes, over] {
      std::vector<store::EventRecord> events;
      bool known = false;
      try {
        events = services.event_repository.list(query);
        known = true;
      } catch (const std::exception& error) {
        log::warning("host", "events cannot be read; trying again", {{"reason", error.what()}});
      }
      boost::asio::post(services.loop, [weak, events = std::move(events), seen = known ? std::optional(changes) : std::nullopt, over] {
        if (const auto self = weak.lock()) self->deliver(events, seen, over);
      });
    });
    if (!posted) asking_ = false;
  }

  void deliver(const std::vector<store::EventRecord>& events, std::optional<std::uint64_t> seen, bool over) {
    asking_ = false;
    if (closed_) return;
    for (const auto& event : events) {
      write(fmt::format("event: {}\nid: {}\ndata: {}\n\n", event.type, event.id, event_shape(event).dump(-1, ' ', false, Json::error_handler_t::replace)));
      query_.after = event.id;
    }
    const bool more = events.size() == static_cast<size_t>(kMostEvents);
    if (seen && !more) seen_ = *seen;
    if (over && seen && !more) {
      body_->finish();
      closed();
    }
  }

  // Nothing is made for one that has not taken what was told before: when it has, it gets the nodes as they are then.
  void look_at_nodes() {
    if (nodes_ && !asking_nodes_ && std::chrono::steady_clock::now() - nodes_looked_ >= kLookAtNodes && body_->queued_bytes() == 0) ask_for_nodes();
  }

  void ask_for_nodes() {
    if (const auto kept = services_.answers.find(kNodesQuestion)) return tell_nodes(*kept);
    asking_nodes_ = services_.state.post([weak = weak_from_this(), &services = services_] {
      std::string text;
      try {
        text = nodes_text(services);
      } catch (const std::exception& error) {
        log::warning("host", "the nodes cannot be told; trying again", {{"reason", error.what()}});
      }
      boost::asio::post(services.loop, [weak, text = std::move(text)] {
        if (const auto self = weak.lock(); self && !self->closed_) self->tell_nodes(text);
      });
    });
  }

  void tell_nodes(const std::string& text) {
    asking_nodes_ = false;
    nodes_looked_ = std::chrono::steady_clock::now();
    const auto hash = std::hash<std::string>()(text);
    if (text.empty() || hash == nodes_told_) return;
    nodes_told_ = hash;
    write("event: nodes\ndata: " + text + "\n\n");  // without an id: whoever comes back is told of all nodes again
  }

  void write(std::string text) {
    told_ = std::chrono::steady_clock::now();
    body_->write(std::move(text));
  }

  void closed() {
    closed_ = true;
    timer_.cancel();
  }

  Services& services_;
  EventQuery query_;
  const bool nodes_;
  std::unique_ptr<net::OpenBody> body_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point told_{}, nodes_looked_{};
  std::optional<size_t> nodes_told_;  // the hash of their text
  std::uint64_t seen_ = ~std::uint64_t{0};  // changes of the database that have been looked at
  bool asking_ = false, asking_nodes_ = false, closed_ = false;
};

bool wants_stream(const net::Request& request) {
  const auto* accepted = request.header("accept");
  return accepted && accepted->find("text/event-stream") != std::string::npos;
}

}  // namespace

void list_events(CallPtr call) {
  auto query = asked_events(*call);
  if (wants_stream(call->request)) {
    if (query.newest) query.after = call->services.event_repository.newest();  // from now on
    return boost::asio::post(call->services.loop, [call, query] { std::make_shared<EventFollower>(call->services, query, call->request.query.contains("nodes"))->start(*call); });
  }
  Json out = Json::array();
  for (const auto& event : call->services.event_repository.list(query)) out.push_back(event_shape(event));
  call->reply(out);
}

void note_event(store::EventRepository& events, const store::EventRecord& event) { note_events(events, {event}); }

void note_events(store::EventRepository& events, const std::vector<store::EventRecord>& all) {
  if (all.empty()) return;
  try {
    events.append(all);
  } catch (const std::exception& error) {
    log::warning("host", "an event is not noted", {{"event", all.front().type + " " + all.front().action}, {"count", std::to_string(all.size())}, {"reason", error.what()}});
  }
}

host::TellEvent environment_events(store::EventRepository& events) {
  return [&events](std::string_view action, const std::string& environment, const std::string& message) {
    note_event(events, {.type = "environment", .action = std::string(action), .subject = environment, .message = message});
  };
}

bool prune_events(store::EventRepository& events, std::chrono::hours age) {
  return events.prune(age.count() > 0 ? wall_now() - age : WallTime::min(), kKeptEvents, kPrunedAtOnce);
}

}  // namespace riverbox::api
