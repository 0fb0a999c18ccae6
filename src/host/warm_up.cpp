#include "host/warm_up.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::hours kLately{14 * 24};
constexpr std::chrono::seconds kAnswerTime{15};  // beside the load itself

// What the nodes have said so far. Their callbacks may come after everybody has stopped waiting.
struct Answers {
  struct One {
    std::uint64_t bytes = 0, total_bytes = 0;
    std::optional<SyncAnswer> answer;
  };
  explicit Answers(size_t nodes) : all(nodes) {}
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<One> all;

  void tell(size_t i, std::uint64_t bytes, std::uint64_t total_bytes) {
    const std::lock_guard lock(mutex);
    all[i].bytes = bytes;
    all[i].total_bytes = total_bytes;
    changed.notify_all();
  }
  void answer(size_t i, SyncAnswer answer) {
    const std::lock_guard lock(mutex);
    all[i].answer = std::move(answer);
    changed.notify_all();
  }
  // Under the lock.
  StepProgress progress() const {
    StepProgress sum;
    size_t done = 0;
    for (const One& one : all) {
      sum.bytes += one.bytes;
      sum.total_bytes += one.total_bytes;
      done += one.answer ? 1 : 0;
    }
    sum.step = fmt::format("loading, {} of {} nodes ready", done, all.size());
    return sum;
  }
  bool complete() const {
    return std::all_of(all.begin(), all.end(), [](const One& one) { return one.answer.has_value(); });
  }
};

}  // namespace

std::vector<NodeView> WarmUp::chosen(const std::vector<std::string>& names) const {
  std::vector<NodeView> nodes;
  if (names.empty()) {
    nodes = nodes_.all();
    std::erase_if(nodes, [](const NodeView& node) { return !node.link; });
    if (nodes.empty()) throw Unavailable("no node is connected", "Start one with `riverbox runner`; `hakuriver.client nodes` shows those there are.");
    return nodes;
  }
  for (const std::string& name : names) {
    auto node = nodes_.find(name);
    if (!node) throw NotFound(fmt::format("there is no node '{}'", name), "`hakuriver.client nodes` shows those there are.");
    const bool again = std::any_of(nodes.begin(), nodes.end(), [&](const NodeView& other) { return other.description.hostname == name; });
    if (!again) nodes.push_back(std::move(*node));
  }
  return nodes;
}

std::vector<NodeSync> WarmUp::sync(const SyncOrder& order, const std::vector<std::string>& node_names, const StepCallback& progress) {
  const auto nodes = chosen(node_names);
  const auto answers = std::make_shared<Answers>(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].link) {
      answers->answer(i, {.message = "the node is not connected"});
      continue;
    }
    nodes[i].link->sync(order, [answers, i](std::uint64_t bytes, std::uint64_t total_bytes) { answers->tell(i, bytes, total_bytes); },
                        [answers, i](SyncAnswer answer) { answers->answer(i, std::move(answer)); });
  }
  const auto give_up = Clock::now() + timeout_ + kAnswerTime;
  std::unique_lock lock(answers->mutex);
  while (!answers->complete() && Clock::now() < give_up) {
    const StepProgress now = answers->progress();
    lock.unlock();
    progress(now);
    lock.lock();
    answers->changed.wait_for(lock, std::chrono::milliseconds(500), [&] { return answers->complete(); });
  }
  std::vector<NodeSync> out;
  for (size_t i = 0; i < nodes.size(); ++i) {
    out.push_back({nodes[i].description.hostname, {}});
    if (answers->all[i].answer) out.back().answer = *answers->all[i].answer;
    else out.back().answer.message = fmt::format("no answer within {} s", (timeout_ + kAnswerTime).count());
  }
  std::sort(out.begin(), out.end(), [](const NodeSync& a, const NodeSync& b) { return a.node < b.node; });
  return out;
}

void WarmUp::preload(const std::string& environment, const std::string& tarball) {
  for (const std::string& name : tasks_.nodes_that_used(environment, to_rfc3339(wall_now() - kLately))) {
    const auto node = nodes_.find(name);
    if (!node || !node->link) continue;
    node->link->sync({.environment = environment, .tarball = tarball, .idle = true}, [](std::uint64_t, std::uint64_t) {}, [name, tarball](const SyncAnswer& answer) {
      if (answer.ok) return log::info("host", "a node has the new version", {{"node", name}, {"tarball", tarball}, {"loaded", answer.loaded ? answer.way : "no"}});
      log::warning("host", "a node could not load the new version; its next task tries again", {{"node", name}, {"tarball", tarball}, {"reason", answer.message}});
    });
  }
}

}  // namespace riverbox::host
