// How an attempt of a VPS gets its container: the one that it has, another in its place, or, where that was removed from outside, one made of its newest snapshot.
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "runner/attempt.hpp"
#include "runner/backoff.hpp"

namespace riverbox::runner {

// What somebody else does with it ends first. Throws Detached.
void Attempt::wait_for_vps() const {
  if (task_.vps) services_.snapshots.turns().wait_until_free(task_.id, [this](const std::string&) { check_still_wanted(); });
}

void Attempt::prepare_vps() {
  bool told = false;
  const auto turn = services_.snapshots.turns().wait_for(task_.id, "it is being started", [&](const std::string& what) {
    check_still_wanted();
    if (kill_requested()) throw Cancelled("the VPS was stopped");
    if (origin_ == Origin::dispatched && !std::exchange(told, true)) report(TaskState::syncing, "It starts when this is done: " + what + ".");
  });
  VpsContainer place(services_.engine, services_.facts, task_.id);
  auto container = find_vps_container(place);
  const bool is_begun = container && container->labels[services_.facts.naming.label("attempt")] == std::to_string(task_.attempt);
  if (task_.vps->begins_anew() && !is_begun) return begin_anew(place, std::move(container));
  if (!container) {
    if (task_.vps->made || (origin_ == Origin::adopted && had_container())) from_snapshot_ = snapshot_in_its_place();
    if (origin_ == Origin::dispatched) report(TaskState::assigning);
    container = make_container();
  }
  start_surely(std::move(*container));
}

// While Docker is away nobody knows whether it exists, so this waits. What an exchange that was cut short has left is put in order first.
std::optional<docker::Container> Attempt::find_vps_container(VpsContainer& place) {
  for (Backoff backoff;;) {
    try {
      place.settle();
      auto container = place.find();
      if (container && origin_ == Origin::adopted) log::info("runner", "VPS adopted", {{"task", id().str()}, {"state", container->state.status}});
      return container;
    } catch (const docker::DockerConnectionError&) {
      pause_before_retry(backoff.next());
    }
  }
}

// What was in it is kept as a snapshot, unless that is not wanted, and the old container stays until the new one has started: whatever fails, it is there as before.
void Attempt::begin_anew(VpsContainer& place, std::optional<docker::Container> old) {
  from_snapshot_ = task_.vps->from_snapshot;
  const std::string as = from_snapshot_ ? "as snapshot " + std::to_string(*from_snapshot_) : std::string("from its environment");
  if (from_snapshot_) services_.snapshots.image(task_.id, *from_snapshot_);  // before the work
  if (origin_ == Origin::dispatched) report(TaskState::assigning);
  if (old && !task_.vps->discard) {
    report(TaskState::syncing, "keeping what is in it as a snapshot");
    services_.snapshots.take(task_.id, "before it began anew " + as, from_snapshot_);
  }
  // A snapshot holds no volumes: those of the images' VOLUME lines go on as they are.
  if (old && from_snapshot_) volumes_ = docker::Engine::volumes(*old);
  replaced_ = std::move(old);
  try {
    start_surely(make_container());
  } catch (const Detached&) {
    throw;  // the next runner puts it in order
  } catch (const std::exception&) {
    try {
      place.settle();
    } catch (const std::exception& error) {
      log::warning("runner", "a VPS gets its old container back with its next start", {{"task", id().str()}, {"reason", error.what()}});
    }
    throw;
  }
  log::info("runner", "a VPS has begun anew", {{"task", id().str()}, {"as", as}});
  try {
    place.settle();
  } catch (const std::exception& error) {
    log::warning("runner", "the old container of a VPS stays until its next start", {{"task", id().str()}, {"reason", error.what()}});
  }
}

// Of one whose container was removed from outside.
std::int64_t Attempt::snapshot_in_its_place() {
  const auto snapshots = services_.snapshots.list(task_.id);
  const std::string fact = "Its container was removed from outside, and what was in it with it.";
  if (snapshots.empty()) throw docker::DockerError(fact, "Start it with --fresh to begin anew from its environment.");
  const std::string newest = std::to_string(snapshots.front().timestamp);
  if (!services_.snapshots.rules().auto_restore) throw docker::DockerError(fact, "Start it with --from " + newest + ", its newest snapshot, or with --fresh to begin anew from its environment.");
  restored_ = "Its container was removed from outside; it was restored from its newest snapshot, " + newest + ".";
  log::warning("runner", "a VPS whose container was removed from outside is restored", {{"task", id().str()}, {"snapshot", newest}});
  return snapshots.front().timestamp;
}

// Before its end is told: the start that may follow at once waits for it.
void Attempt::reserve_snapshot(const TaskReport& last) {
  if (!task_.vps || !services_.snapshots.rules().auto_on_stop || last.state != TaskState::stopped || !kill_requested()) return;
  if (auto turn = services_.snapshots.turns().try_take(task_.id, "the snapshot of its stop is being taken")) snapshot_turn_.emplace(std::move(*turn));
}

void Attempt::take_reserved_snapshot() {
  if (!snapshot_turn_) return;
  try {
    services_.snapshots.take(task_.id, "taken when it was stopped");
  } catch (const std::exception& error) {
    log::warning("runner", "no snapshot was taken of a VPS that was stopped", {{"task", id().str()}, {"reason", error.what()}});
  }
  snapshot_turn_.reset();
}

}  // namespace riverbox::runner
