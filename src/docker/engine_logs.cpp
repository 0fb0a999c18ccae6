// The two calls that last as long as the container: wait and logs. Both survive a restart of the daemon.
#include <array>
#include <thread>

#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::minutes kDaemonAwayLimit{5};  // longer than any restart or upgrade of the daemon

// Runs `attempt` until it returns. While the daemon is away it is tried again, up to kDaemonAwayLimit after the last
// success; but a daemon that was never reached is an error at once.
class Persistence {
public:
  Persistence(const CancelToken& cancel, const char* what) : cancel_(cancel), what_(what) {}

  // Tells that the daemon answered.
  void reached() {
    reached_ = true;
    last_ = Clock::now();
    pause_ = milliseconds(100);
  }

  bool was_reached() const { return reached_; }

  // In a handler of DockerConnectionError: waits, or throws it on.
  void wait_or_rethrow() {
    if (!reached_ || Clock::now() - last_ > kDaemonAwayLimit) throw;
    sleep_cancellable(pause_, cancel_, what_);
    pause_ = std::min(pause_ * 2, milliseconds(2000));
  }

private:
  const CancelToken& cancel_;
  const char* what_;
  bool reached_ = false;
  Clock::time_point last_;
  milliseconds pause_{100};
};

bool is_over(const ContainerState& state) { return !state.running && state.status != "restarting"; }

// The sink of a log that is read again from its beginning: leaves out what was delivered before.
class Resumable {
public:
  explicit Resumable(const std::function<void(bool, std::string_view)>& sink) : sink_(sink) {}
  void restart() { skip_ = delivered_; }
  void take(bool is_stderr, std::string_view bytes) {
    auto& skip = skip_[is_stderr];
    auto old = static_cast<size_t>(std::min<std::uint64_t>(skip, bytes.size()));
    skip -= old;
    bytes.remove_prefix(old);
    if (bytes.empty()) return;
    delivered_[is_stderr] += bytes.size();
    sink_(is_stderr, bytes);
  }

private:
  const std::function<void(bool, std::string_view)>& sink_;
  std::array<std::uint64_t, 2> delivered_{}, skip_{};
};

}  // namespace

void sleep_cancellable(milliseconds time, const CancelToken& cancel, const char* what) {
  const auto end = Clock::now() + time;
  for (;;) {
    cancel.check(what);
    auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return;
    std::this_thread::sleep_for(std::min(left, milliseconds(100)));
  }
}

Wait Engine::wait_container(const std::string& id_or_name, const CancelToken& cancel) {
  Persistence persistence(cancel, "waiting for a container");
  for (;;) {
    try {
      // First the state: it answers for a container that ended while the daemon was away, too.
      auto container = inspect_container(id_or_name);
      persistence.reached();
      if (is_over(container.state)) return {container.state.exit_code, container.state.error};
      auto call = container_call("wait for", container.id, "POST", "/wait?condition=not-running");
      call.request.action = "wait for container '" + id_or_name + "'";
      call.request.silence = kNoLimit;
      call.request.cancel = &cancel;
      auto body = impl_->api.send(std::move(call)).body;
      auto answer = nlohmann::json::parse(body, nullptr, false);
      auto code = number(answer, "StatusCode");
      auto error = text(field(answer, "Error"), "Message");
      // A daemon that shuts down answers with nothing, or with its own cancelled context.
      if (field(answer, "StatusCode").is_number() && code >= 0 && error.find("context canceled") == error.npos)
        return {static_cast<int>(code), error};
      sleep_cancellable(milliseconds(200), cancel, "waiting for a container");
    } catch (const DockerConnectionError&) {
      persistence.wait_or_rethrow();
    }
  }
}

void Engine::follow_logs(const std::string& id_or_name, const CancelToken& cancel,
                         const std::function<void(bool is_stderr, std::string_view bytes)>& sink, bool follow) {
  Persistence persistence(cancel, "following the log of a container");
  Resumable log(sink);
  for (;;) {
    try {
      auto container = inspect_container(id_or_name);
      persistence.reached();
      const bool tty = flag(field(*container.raw, "Config"), "Tty");
      const bool follows = follow && !is_over(container.state);
      auto call = container_call("read the log of", container.id, "GET",
                                 query({{"follow", follows ? "1" : "0"}, {"stdout", "1"}, {"stderr", "1"}}).insert(0, "/logs"));
      call.request.action = "read the log of container '" + id_or_name + "'";
      call.request.silence = kNoLimit;
      call.request.cancel = &cancel;
      Demux demux;
      log.restart();
      call.request.sink = [&](std::string_view bytes) {
        if (tty) return log.take(false, bytes);
        demux.feed(bytes, [&](bool is_stderr, std::string_view part) { log.take(is_stderr, part); });
      };
      impl_->api.send(std::move(call));
      if (!follows) return;
      // A daemon ends a log that is followed with the container, whether all of it was sent or not: it is read
      // once more. One that shuts down ends it although the container runs on.
      for (int i = 0; i < 20 && !is_over(inspect_container(container.id).state); ++i)
        sleep_cancellable(milliseconds(50), cancel, "following the log of a container");
    } catch (const DockerConnectionError&) {
      persistence.wait_or_rethrow();
    } catch (const ContainerNotFoundError&) {
      if (persistence.was_reached()) return;  // ended and removed itself
      throw;
    }
  }
}

}  // namespace riverbox::docker
