#include "runner/snapshot_desk.hpp"

#include <chrono>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::runner {
namespace {

using Action = SnapshotOrder::Action;
using Clock = std::chrono::steady_clock;

constexpr auto kTellAgain = std::chrono::milliseconds(500);

}  // namespace

void SnapshotDesk::take(SnapshotQuestion question) {
  const log::Scope scope("task", question.order.vps.str());
  const std::string request = question.request;
  auto& pool = question.order.action == Action::list ? looking_ : taking_;
  const bool posted = pool.post([this, question = std::move(question)] {
    SnapshotAnswer said;
    try {
      said = answer(question);
    } catch (const Error& error) {
      said = {.error = error.kind(), .message = error.what()};
    } catch (const std::exception& error) {
      said = {.error = ErrorKind::internal, .message = error.what()};
    }
    if (said.error) log::info("runner", "what was asked for about snapshots was not done", {{"reason", said.message}});
    say_(snapshots_text(question.request, said));
  });
  if (!posted) say_(snapshots_text(request, {.error = ErrorKind::unavailable, .message = "the runner is busy; try again"}));
}

SnapshotAnswer SnapshotDesk::answer(const SnapshotQuestion& question) {
  const auto& order = question.order;
  switch (order.action) {
    case Action::list: return {.snapshots = snapshots_.list(order.vps)};
    case Action::take: {
      const auto turn = snapshots_.turns().take(order.vps, "its snapshot is being taken");
      say_(progress_text(question.request, {"committing", 0, 0}));
      return {.snapshots = {snapshots_.take(order.vps, order.message)}};
    }
    case Action::remove: {
      const auto turn = snapshots_.turns().take(order.vps, "snapshots of it are being removed");
      return {.snapshots = snapshots_.remove(order.vps, order.timestamp)};
    }
    case Action::publish: return {.file = publish(question)};
  }
  throw InternalError("no such action");
}

// The VPS is free again once its image is there; the writing takes the longest.
std::string SnapshotDesk::publish(const SnapshotQuestion& question) {
  const auto name = environment::EnvironmentName::parse(question.order.environment);
  std::optional<VpsTurns::Turn> turn(snapshots_.turns().take(question.order.vps, "it is being published"));
  Clock::time_point told{};
  std::string step;
  const auto progress = [&](const environment::SyncProgress& p) {
    if (p.step == step && Clock::now() - told < kTellAgain) return;
    step = p.step;
    told = Clock::now();
    say_(progress_text(question.request, p));
  };
  return publisher_.write(snapshots_, question.order.vps, name, progress, [&] { turn.reset(); });
}

}  // namespace riverbox::runner
