#include "host/snapshots.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "base/error.hpp"

namespace riverbox::host {
namespace {

constexpr std::chrono::hours kLongestWait{6};  // of a snapshot, or the writing of an archive

// What the node says while somebody waits. It may go on to say so when nobody does any more.
struct Wait {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<StepProgress> step;
  std::optional<SnapshotAnswer> answer;
};

}  // namespace

void Snapshots::check_runner(const store::TaskRecord& vps) const {
  const auto node = nodes_.find(vps.node);
  if (node && node->link && !node->description.snapshots) throw Unavailable("the runner of node " + vps.node + " is too old for snapshots", "Install the same riverbox version on host and runners.");
}

void Snapshots::ask(const store::TaskRecord& vps, SnapshotOrder order, Done done, const StepCallback& progress) {
  const std::string id = vps.spec.id.str();
  if (vps.node.empty()) throw Conflict("VPS " + id + " has not been on a node yet");
  const auto node = nodes_.find(vps.node);
  if (!node || !node->link) throw Unavailable("node " + vps.node + ", where VPS " + id + " is, is not connected", "Try again when it is back.");
  check_runner(vps);
  order.vps = vps.spec.id;
  node->link->snapshots(order, progress, std::move(done));
}

SnapshotAnswer Snapshots::ask_and_wait(const store::TaskRecord& vps, SnapshotOrder order, const StepCallback& progress) {
  const auto wait = std::make_shared<Wait>();
  const auto done = [wait](const SnapshotAnswer& answer) {
    const std::lock_guard lock(wait->mutex);
    wait->answer = answer;
    wait->changed.notify_all();
  };
  const auto step = [wait](const StepProgress& told) {
    const std::lock_guard lock(wait->mutex);
    wait->step = told;
    wait->changed.notify_all();
  };
  ask(vps, std::move(order), done, step);
  const auto give_up = std::chrono::steady_clock::now() + kLongestWait;
  std::unique_lock lock(wait->mutex);
  StepProgress latest{"asking the node"};
  while (!wait->answer) {
    if (std::chrono::steady_clock::now() > give_up) throw Timeout("node " + vps.node + " has not answered for hours", "Look at the log of its runner.");
    if (wait->step) latest = *wait->step;
    lock.unlock();
    progress(latest);  // again and again: whoever looks at it sees that it goes on
    lock.lock();
    wait->changed.wait_for(lock, std::chrono::milliseconds(500), [&] { return wait->answer.has_value(); });
  }
  wait->answer->check();
  return *wait->answer;
}

}  // namespace riverbox::host
