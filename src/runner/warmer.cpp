#include "runner/warmer.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/process.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kProgressInterval = std::chrono::milliseconds(500);

}  // namespace

Warmer::Warmer(docker::Engine& engine, environment::Syncer& syncer, docker::Naming naming, std::chrono::seconds timeout, Say say)
    : engine_(engine), syncer_(syncer), naming_(std::move(naming)), timeout_(timeout), say_(std::move(say)) {}

void Warmer::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (CancelToken& token : running_) token.cancel();
}

void Warmer::take(Sync order) {
  auto& pool = order.idle ? idle_ : urgent_;
  const std::string request = order.request;
  if (!pool.post([this, order = std::move(order)] { bring(order); })) say_(result_text(request, false, "the runner is busy; try again"));
}

void Warmer::bring(const Sync& order) {
  CancelToken token;
  token.set_deadline(Clock::now() + timeout_);
  std::list<CancelToken>::iterator mine;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    mine = running_.insert(running_.end(), token);
  }
  if (order.idle) os::make_this_thread_idle();
  try {
    const auto result = ensure(order, token);
    log::info("runner", result.loaded ? "environment loaded on request" : "environment is up to date",
              {{"environment", order.environment}, {"tarball", result.tarball}, {"way", result.way}, {"bytes_read", std::to_string(result.bytes_read)}});
    say_(sync_result_text(order.request, result));
  } catch (const Timeout&) {
    say_(result_text(order.request, false, "it was not loaded within " + std::to_string(timeout_.count()) + " s"));
  } catch (const std::exception& error) {
    log::warning("runner", "an environment cannot be brought here", {{"environment", order.environment}, {"reason", error.what()}});
    say_(result_text(order.request, false, error.what()));
  }
  const std::lock_guard lock(mutex_);
  running_.erase(mine);
}

environment::SyncResult Warmer::ensure(const Sync& order, const CancelToken& token) {
  const auto name = environment::EnvironmentName::parse(order.environment);
  Clock::time_point last{};
  std::string step;
  const auto progress = [&](const environment::SyncProgress& p) {
    if (p.step == step && Clock::now() - last < kProgressInterval) return;
    step = p.step;
    last = Clock::now();
    say_(progress_text(order.request, p));
  };
  if (order.exact) return syncer_.ensure_exactly(name, order.tarball, token, progress);
  return syncer_.ensure(name, order.tarball, token, progress);
}

void Warmer::look() {
  looker_.post([this] {
    try {
      syncer_.tidy_up();
      say_(holdings_text(environment::find_holdings(engine_, naming_)));
    } catch (const std::exception& error) {  // Docker is away; it is asked again
      log::debug("runner", "cannot see which environments this node holds", {{"reason", error.what()}});
    }
  });
}

}  // namespace riverbox::runner
