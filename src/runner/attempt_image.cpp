// How an attempt gets its image: an environment that is brought up to date, or an image of a registry that is pulled.
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "docker/reference.hpp"
#include "environment/name.hpp"
#include "runner/attempt.hpp"
#include "runner/outcome.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kProgressInterval = std::chrono::seconds(1);

}  // namespace

std::string Attempt::image_for() {
  if (from_snapshot_) return services_.snapshots.image(task_.id, *from_snapshot_);
  CancelToken token;
  token.set_deadline(Clock::now() + services_.sync_timeout);
  {
    std::lock_guard lock(mutex_);
    if (detached_) throw Detached{};
    if (kill_requested_) throw Cancelled("the task was killed");
    if (!why_stopped_.empty()) throw Cancelled("the task was stopped");
    syncing_ = token;
  }
  return task_.registry_image.empty() ? bring_up_to_date(token) : pull_image(token);
}

std::string Attempt::bring_up_to_date(const CancelToken& token) {
  auto name = environment::EnvironmentName::parse(task_.environment);
  auto progress = [this](const environment::SyncProgress& p) {
    if (p.step != "checking") report_progress(p.step, p.bytes, p.total_bytes);  // which takes milliseconds and is not worth a state
  };
  environment::SyncResult result;
  try {
    result = task_.exact ? services_.syncer.ensure_exactly(name, task_.tarball, token, progress)
                         : services_.syncer.ensure(name, task_.tarball, token, progress);
  } catch (const Timeout&) {
    throw Timeout(fmt::format("environment '{}' was not loaded within {} s", name.str(), services_.sync_timeout.count()),
                  "Raise [docker] image_sync_timeout on this node, or look why its Docker or the share is slow.");
  }
  if (result.loaded)
    log::info("runner", "environment brought up to date", {{"environment", name.str()}, {"tarball", result.tarball}});
  tarball_ = result.tarball;
  return result.image_id;
}

// A tag is asked for every time, because it may name another image today: nothing old runs unnoticed. A digest always names the same one.
std::string Attempt::pull_image(const CancelToken& token) {
  const auto reference = docker::Reference::parse(task_.registry_image);
  if (reference.is_digest())
    if (const auto image = services_.engine.find_image(reference.str())) return image->id;
  report(TaskState::syncing, "pulling " + task_.registry_image);
  progress_reported_ = Clock::now();
  try {
    services_.engine.pull_image(
        reference.str(), [this](const docker::PullProgress& p) { if (p.current_bytes > 0) report_progress("pulling: " + p.step, p.current_bytes, p.total_bytes); }, token);
  } catch (const Timeout&) {
    throw Timeout(fmt::format("image '{}' was not pulled within {} s", task_.registry_image, services_.sync_timeout.count()),
                  "Raise [docker] image_sync_timeout on this node, or look why its registry is slow.");
  }
  const auto image = services_.engine.inspect_image(reference.str());
  log::info("runner", "image pulled", {{"image", task_.registry_image}, {"id", image.id}});
  return image.id;
}

// At most once in a while: every report is a durable write.
void Attempt::report_progress(std::string_view step, std::uint64_t bytes, std::uint64_t total_bytes) {
  if (progress_reported_ != Clock::time_point{} && Clock::now() - progress_reported_ < kProgressInterval) return;
  progress_reported_ = Clock::now();
  report(TaskState::syncing, progress_text(step, bytes, total_bytes));
}

}  // namespace riverbox::runner
