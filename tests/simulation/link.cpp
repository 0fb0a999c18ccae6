#include "link.hpp"

#include "base/error.hpp"
#include "runner.hpp"
#include "world.hpp"

namespace riverbox::simulation {

// ---- frames

void Link::send(Pipe& pipe, std::function<void()> frame) {
  pipe.frames.push_back(std::move(frame));
  if (!std::exchange(pipe.moving, true)) move(pipe, world_.random().chance(5) ? world_.random().between(0ms, 2s) : world_.random().between(0ms, 20ms));
}

void Link::move(Pipe& pipe, Time delay) {
  world_.events().after(delay, [self = shared_from_this(), &pipe] {
    if (self->world_.now() < self->stalled_until_) return self->move(pipe, self->stalled_until_ - self->world_.now());
    if (pipe.frames.empty()) {  // cut off
      pipe.moving = false;
      return;
    }
    const auto frame = std::move(pipe.frames.front());
    pipe.frames.pop_front();
    frame();
    self->move(pipe, self->world_.random().between(0ms, 2ms));
  });
}

void Link::to_runner(std::function<void()> frame) {
  if (world_.is_dying()) return;  // the host crashes before it has said that
  send(to_runner_, [this, frame = std::move(frame)] {
    if (runner_end_) frame();
  });
}

// ---- what the host says

void Link::dispatch(const TaskSpec& spec) {
  world_.check_promise(runner_, spec);
  to_runner([this, spec] { runner_.dispatch(spec); });
}

void Link::kill(TaskId id, int attempt) {
  to_runner([this, id, attempt] { runner_.kill({id, attempt}); });
}

void Link::drop() {
  world_.events().after(world_.random().between(0ms, 100ms), [self = shared_from_this()] { self->close_host_end(); });
}

void Link::control(const std::string& action, TaskId id, int attempt, std::function<void(bool, std::string)> done) {
  to_runner([this, action, id, attempt, done] { runner_.control(action == "pause", {id, attempt}); });
}

// ---- what the runner says

bool Link::is_heard() { return host_end_ && greeted_ && world_.nodes()->is_current(runner_.name(), this); }

void Link::hello(std::vector<host::KnownAttempt> attempts) {
  to_host([this, attempts = std::move(attempts)] {
    world_.at_host([&] {
      if (!host_end_) return;
      attempts_ = attempts;
      try {
        const auto epoch = world_.nodes()->connect(runner_.description(), shared_from_this());
        greeted_ = true;
        world_.tasks()->take_in(runner_.name(), attempts_);
        world_.note("{} is connected, epoch {}", runner_.name(), epoch);
        to_runner([this] { runner_.welcomed(*this); });
      } catch (const Conflict&) {
        to_runner([this] { runner_.refused(*this); });
        host_end_ = false;
      }
    });
  });
}

void Link::report(std::int64_t sequence, TaskReport report) {
  to_host([this, sequence, report = std::move(report)] {
    world_.at_host([&] {
      if (!is_heard()) return;
      const bool changed = world_.tasks()->apply(report);
      world_.note("host: {} is {}{}", world_.name({report.id, report.attempt}), to_string(report.state), changed ? "" : ", which changes nothing");
      to_runner([this, sequence] { runner_.acknowledged(sequence); });
    });
  });
}

void Link::synced() {
  to_host([this] {
    world_.at_host([&] {
      if (!is_heard()) return;
      world_.note("host: {} has told everything", runner_.name());
      world_.tasks()->reconcile(runner_.name(), attempts_);
    });
  });
}

void Link::heartbeat() {
  to_host([this] {
    world_.at_host([&] {
      if (!is_heard()) return;
      if (world_.nodes()->heartbeat(runner_.name(), this, {}, {})) world_.tasks()->schedule();
    });
  });
}

// ---- ends

void Link::close_host_end() {
  if (!std::exchange(host_end_, false)) return;
  world_.at_host([&] { world_.nodes()->disconnect(runner_.name(), this); });
  close_runner_end(world_.random().between(0ms, 1s));
}

void Link::close_runner_end(Time delay) {
  if (!std::exchange(runner_end_, false)) return;
  world_.events().after(std::max(delay, stalled_until_ - world_.now()), [self = shared_from_this()] { self->runner_.closed(*self); });
}

void Link::hang_up() {
  runner_end_ = false;
  to_host([this] { close_host_end(); });
}

void Link::break_off() {
  to_host_.frames.resize(world_.random().index(to_host_.frames.size() + 1));
  to_host([this] { close_host_end(); });
  close_runner_end(world_.random().between(0ms, 5s));
}

void Link::stall(Time until) {
  auto& random = world_.random();
  if (random.chance(50)) until += random.between(0s, 60s);  // TCP takes its time to try again: another link may be faster
  stalled_until_ = std::max(stalled_until_, until);
  if (random.chance(60))
    world_.events().after(random.between(10s, 60s), [self = shared_from_this()] {
      if (self->world_.now() < self->stalled_until_ && self->runner_end_) self->runner_.gives_up(*self);
    });
  if (random.chance(40))
    world_.events().after(random.between(20s, 90s), [self = shared_from_this()] {
      if (self->world_.now() < self->stalled_until_) self->close_host_end();
    });
}

void Link::host_is_gone() {
  host_end_ = false;
  close_runner_end(world_.random().between(0ms, 2s));
}

}  // namespace riverbox::simulation
