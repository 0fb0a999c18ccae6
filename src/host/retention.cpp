#include "host/retention.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::host {
namespace {

constexpr int kAtOnce = 500;  // a few milliseconds of the state worker
// A host that starts with a clock that is years ahead must not lose its history: now is at most so long after the newest task.
constexpr std::chrono::hours kBelievable{30 * 24};

}  // namespace

std::string Retention::before(WallTime now, std::chrono::hours age) const {
  if (age.count() == 0) return {};
  const auto newest = repository_.list({.limit = 1});
  if (newest.empty()) return {};
  return to_rfc3339(std::min(now, parse_rfc3339(newest.front().submitted_at) + kBelievable) - age);
}

std::vector<store::TaskRecord> Retention::due_output(WallTime now, const OldOutput& after) const {
  const auto end = before(now, policy_.output);
  return end.empty() ? std::vector<store::TaskRecord>{} : repository_.with_old_output(end, after, kAtOnce);
}

bool Retention::remove_tasks(WallTime now) const {
  const auto end = before(now, policy_.tasks);
  if (end.empty()) return false;
  const size_t removed = repository_.remove_old(end, policy_.output.count() > 0, kAtOnce);
  if (removed > 0) log::info("host", "old tasks removed", {{"tasks", std::to_string(removed)}, {"ended_before", end}});
  return removed == static_cast<size_t>(kAtOnce);
}

// Of every attempt, and as the record names them: other programs may have named them otherwise.
std::vector<os::Place> Retention::files_of(const store::TaskRecord& task) const {
  std::vector<std::string> names{task.spec.stdout_file, task.spec.stderr_file};
  for (int attempt = 1; attempt <= task.spec.attempt; ++attempt)
    for (const bool is_stderr : {false, true}) names.push_back(log_file_(task.spec.id, attempt, is_stderr));
  std::vector<os::Place> files;
  for (const std::string& name : names) {
    const auto relative = std::filesystem::path(name).lexically_normal();
    if (relative.empty() || relative.is_absolute() || relative.begin()->native() == "..") continue;  // never outside of the share
    files.emplace_back(shared_dir_, relative);
  }
  return files;
}

std::vector<TaskId> Retention::remove_output(const std::vector<store::TaskRecord>& tasks) const {
  std::vector<TaskId> removed;
  std::string trouble;
  std::error_code error;
  if (std::filesystem::is_empty(shared_dir_, error) || error) {  // not mounted: what is not to be seen is not gone
    log::warning("host", "the output of old tasks is not removed: there is no share", {{"folder", shared_dir_.string()}});
    return removed;
  }
  for (const auto& task : tasks) {
    bool all_gone = true;
    for (const auto& file : files_of(task)) {
      try {
        os::unlink_beneath(file);
        if (file.parent().name() == task.spec.id.str()) os::remove_folder_beneath(file.parent());  // its own: gone with the last of its files
      } catch (const IoError& problem) {
        all_gone = false;
        trouble = problem.fact();
      }
    }
    if (all_gone) removed.push_back(task.spec.id);
  }
  if (!trouble.empty()) log::warning("host", "the output of old tasks cannot be removed", {{"tasks", std::to_string(tasks.size() - removed.size())}, {"reason", trouble}});
  if (!removed.empty()) log::info("host", "the output of old tasks removed", {{"tasks", std::to_string(removed.size())}});
  return removed;
}

}  // namespace riverbox::host
