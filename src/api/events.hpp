// Notes what happens outside of the database, so that `riverbox events` tells it, too.
#pragma once
#include <chrono>

#include "host/environments.hpp"
#include "store/event_repository.hpp"

namespace riverbox::api {

// Blocks on the store. An event that cannot be noted is told in the log: what has happened has happened.
void note_event(store::EventRepository& events, const store::EventRecord& event);
void note_events(store::EventRepository& events, const std::vector<store::EventRecord>& all);  // in one transaction
host::TellEvent environment_events(store::EventRepository& events);

// Removes what is too old or too much, a portion at a time. True: there may be more. `age` 0: as long as there is room.
bool prune_events(store::EventRepository& events, std::chrono::hours age);

}  // namespace riverbox::api
