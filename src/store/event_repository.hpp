// What has happened (table `events` of the host's database). It is only added to, and the oldest goes in time.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "store/database.hpp"

namespace riverbox::store {

struct EventRecord {
  std::int64_t id = 0;       // of one that was read: greater than that of all before
  WallTime time{};           // likewise
  std::string type, action;  // "task", "started"
  std::string subject;       // the id of the task or token, the name of the node or environment
  std::string owner = {};    // of a task: the user whom it belongs to
  std::string node = {};     // of a task: where it is to run, or does
  std::string message = {};  // for people
};

// Adds it in the transaction that makes it true: there is no change without its event, and no event without its change.
void append_event(Database::Connection& connection, const EventRecord& event);

class EventRepository {
public:
  explicit EventRepository(Database& db) : db_(db) {}
  // Of what happens outside of the database. Throws as every write does.
  void append(const EventRecord& event) { append(std::vector{event}); }
  void append(const std::vector<EventRecord>& events);  // all or none

  struct Query {
    std::vector<std::string_view> types;             // of these only; words of ours
    std::optional<std::string> owner = {};           // of tasks only this one's, and of VPSs also those that are shared with him
    std::string subject = {};                        // of this one only; empty: of all
    std::int64_t after = 0;                          // what follows on this event
    std::optional<WallTime> since = {}, until = {};  // of the time between
    bool newest = false;                             // the last ones of them, else the first
    int limit = 100;
  };
  std::vector<EventRecord> list(const Query& query);  // oldest first
  std::int64_t newest();                              // its id; 0: there is none
  // Removes the oldest: those from before that time, and those that are more than `keep`; not the newest, from whose id the next one's follows. At most `most` at a time, in one
  // transaction. True: there may be more.
  bool prune(WallTime before, std::int64_t keep, std::int64_t most);

private:
  Database& db_;
};

}  // namespace riverbox::store
