#include "store/event_repository.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.hpp"

namespace riverbox::store {
namespace {

using std::chrono::microseconds;

constexpr size_t kMaxMessage = 500;

std::int64_t micros(WallTime time) { return std::chrono::duration_cast<microseconds>(time.time_since_epoch()).count(); }

std::int64_t one_number(Database::Connection& connection, std::string_view sql) {
  Statement row = connection.prepare(sql);
  return row.step() ? row.integer(0) : 0;
}

struct Span {
  std::int64_t first = 0, last = -1;  // ids
};

Span all_of(Database::Connection& connection) {
  return {one_number(connection, "SELECT min(id) FROM events"), one_number(connection, "SELECT max(id) FROM events")};
}

// The first event from that time on, by bisection: ids have no gaps, and time goes with them. (An index would be paid for by every task that is submitted. Where the clock was set
// back meanwhile, one of the moments that it then showed twice is found.)
std::int64_t first_since(Database::Connection& connection, WallTime time) {
  auto [first, last] = all_of(connection);
  while (first <= last) {
    const auto middle = first + (last - first) / 2;
    Statement row = connection.prepare("SELECT time FROM events WHERE id=?");
    row.bind(middle);
    if (row.step() && row.integer(0) >= micros(time)) last = middle - 1;
    else first = middle + 1;
  }
  return first;
}

constexpr std::string_view kOfOwner = " AND (type <> 'task' OR owner = ? OR subject IN (SELECT CAST(vps AS TEXT) FROM vps_assignments WHERE user = ?))";

// The types are words of ours, so they need no parameters, and the text is one of a few.
std::string selection(const EventRepository::Query& query) {
  std::string types;
  for (const auto type : query.types) types += fmt::format("{}'{}'", types.empty() ? "" : ",", type);
  return fmt::format("SELECT id, time, type, action, subject, owner, node, message FROM events WHERE id >= ? AND id < ? AND type IN ({}){}{} ORDER BY id{} LIMIT ?", types,
                     query.owner ? kOfOwner : "", query.subject.empty() ? "" : " AND subject = ?", query.newest ? " DESC" : "");
}

}  // namespace

void append_event(Database::Connection& connection, const EventRecord& event) {
  Statement statement = connection.prepare("INSERT INTO events (time, type, action, subject, owner, node, message) VALUES (?, ?, ?, ?, ?, ?, ?)");
  statement.bind(micros(wall_now())).bind(event.type).bind(event.action).bind(event.subject).bind(event.owner).bind(event.node);
  if (event.message.size() <= kMaxMessage) statement.bind(event.message);
  else statement.bind(event.message.substr(0, complete_utf8_prefix(std::string_view(event.message).substr(0, kMaxMessage))) + "...");
  statement.run();
}

void EventRepository::append(const std::vector<EventRecord>& events) {
  db_.write([&](Database::Connection& connection) {
    for (const auto& event : events) append_event(connection, event);
  });
}

std::vector<EventRecord> EventRepository::list(const Query& query) {
  std::vector<EventRecord> events;
  db_.read([&](Database::Connection& connection) {
    const auto from = std::max(query.after + 1, query.since ? first_since(connection, *query.since) : 0);
    const auto to = query.until ? first_since(connection, *query.until) : std::numeric_limits<std::int64_t>::max();
    Statement row = connection.prepare(selection(query));
    row.bind(from).bind(to);
    if (query.owner) row.bind(*query.owner).bind(*query.owner);
    if (!query.subject.empty()) row.bind(query.subject);
    row.bind(query.limit);
    while (row.step())
      events.push_back({row.integer(0), WallTime(microseconds(row.integer(1))), row.text(2), row.text(3), row.text(4), row.text(5), row.text(6), row.text(7)});
  });
  if (query.newest) std::reverse(events.begin(), events.end());
  return events;
}

std::int64_t EventRepository::newest() {
  std::int64_t id = 0;
  db_.read([&](Database::Connection& connection) { id = all_of(connection).last; });
  return id;
}

bool EventRepository::prune(WallTime before, std::int64_t keep, std::int64_t most) {
  bool more = false;
  std::int64_t first = 0, end = 0;
  db_.read([&](Database::Connection& connection) {
    const auto all = all_of(connection);
    const auto due = std::min(std::max(first_since(connection, before), all.last - keep + 1), all.last);
    first = all.first;
    end = std::min(due, all.first + most);
    more = end < due;
  });
  if (end > first) db_.write([&](Database::Connection& connection) { connection.prepare("DELETE FROM events WHERE id < ?").bind(end).run(); });
  return more;
}

}  // namespace riverbox::store
