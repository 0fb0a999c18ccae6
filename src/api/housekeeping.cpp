#include "api/housekeeping.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

#include "api/events.hpp"
#include "base/log.hpp"
#include "base/time.hpp"

namespace riverbox::api {
namespace {

constexpr std::chrono::hours kTidyInterval{1};
constexpr std::chrono::minutes kUsesInterval{5};  // of tokens; every write makes the kept answers old
constexpr std::chrono::minutes kPruneInterval{1};  // of events; there may be 40,000 more each second
constexpr std::chrono::seconds kLate{5};  // no loop is held up for so long: the whole program was

template <typename Work>
void guarded(const char* what, const Work& work) {
  try {
    work();
  } catch (const std::exception& e) {
    log::error("host", what, {{"reason", e.what()}});
  }
}

}  // namespace

Housekeeping::Housekeeping(Services& services) : services_(services), timer_(services.loop) {}

void Housekeeping::start() { wait(); }

void Housekeeping::stop() { timer_.cancel(); }

void Housekeeping::wait() {
  due_ = Clock::now() + services_.config->timing.cleanup_check_interval;
  timer_.expires_at(due_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    look(Clock::now() - due_ > kLate);
    wait();
  });
}

void Housekeeping::look(bool was_away) {
  services_.state.post([&services = services_, was_away] {
    // Who was frozen or starved has heard nobody, and that says nothing about them.
    if (was_away) services.nodes.begin_listening();
    services.nodes.note_silence();
    const auto after = services.config->timing.lost_after;
    if (after.count() > 0 && !was_away) guarded("cannot look for lost tasks", [&] { services.tasks.call_lost(after); });
    guarded("cannot look for tasks that can start", [&] { services.tasks.schedule(); });  // one whose start failed, as on a full disk
  });
  if (Clock::now() >= note_uses_next_) {
    note_uses_next_ = Clock::now() + kUsesInterval;
    services_.state.post([&services = services_] { guarded("cannot note which tokens were used", [&] { services.tokens.write_down_uses(); }); });
  }
  if (Clock::now() >= prune_next_) {
    prune_next_ = Clock::now() + kPruneInterval;
    prune();
  }
  if (tidying_ || Clock::now() < tidy_next_) return;
  tidying_ = true;
  tidy_next_ = Clock::now() + kTidyInterval;
  tidy();
}

// Other work comes between two portions.
void Housekeeping::prune() {
  services_.state.post([this, &services = services_] {
    guarded("cannot remove old events", [&] {
      if (prune_events(services.event_repository, std::chrono::hours(24) * services.config->retention.events_days)) prune();
    });
  });
}

void Housekeeping::tidied(bool more) {
  boost::asio::post(services_.loop, [this, more] {
    tidying_ = false;
    if (more) tidy_next_ = {};
  });
}

// State worker, share, state worker: a share that hangs holds up nobody else. One portion at a time.
void Housekeeping::tidy() {
  const bool posted = services_.state.post([this, &services = services_] {
    std::vector<store::TaskRecord> due;
    bool more = false;
    guarded("cannot remove old tasks", [&] {
      due = services.retention.due_output(wall_now(), tidied_until_);
      if (due.empty()) more = services.retention.remove_tasks(wall_now());
      else tidied_until_ = {due.back().completed_at, due.back().spec.id};
    });
    if (due.empty()) {
      if (!more) tidied_until_ = {};
      return tidied(more);
    }
    if (!services.share.post([this, due = std::move(due)] { remove_output(due); })) tidied(false);
  });
  if (!posted) tidied(false);
}

void Housekeeping::remove_output(const std::vector<store::TaskRecord>& due) {
  const auto removed = services_.retention.remove_output(due);
  const bool posted = services_.state.post([this, &services = services_, removed] {
    guarded("cannot note that the output of old tasks is removed", [&] { services.retention.output_is_removed(removed); });
    tidied(true);
  });
  if (!posted) tidied(false);
}

}  // namespace riverbox::api
