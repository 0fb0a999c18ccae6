#include "host/dependencies.hpp"

namespace riverbox::host {

void Dependencies::add(TaskId id, const std::vector<TaskId>& after) {
  for (const TaskId other : after) {
    after_[id].insert(other);
    followers_[other].insert(id);
  }
}

bool Dependencies::remove(TaskId id) {
  const auto entry = after_.extract(id);
  if (!entry) return false;
  for (const TaskId other : entry.mapped()) {
    const auto followers = followers_.find(other);
    followers->second.erase(id);
    if (followers->second.empty()) followers_.erase(followers);
  }
  return true;
}

std::vector<TaskId> Dependencies::of(TaskId id) const {
  const auto entry = after_.find(id);
  return entry == after_.end() ? std::vector<TaskId>{} : std::vector<TaskId>(entry->second.begin(), entry->second.end());
}

std::vector<TaskId> Dependencies::followers_of(TaskId id) const {
  const auto entry = followers_.find(id);
  return entry == followers_.end() ? std::vector<TaskId>{} : std::vector<TaskId>(entry->second.begin(), entry->second.end());
}

std::vector<TaskId> Dependencies::succeeded(TaskId id) {
  std::vector<TaskId> free;
  for (const TaskId follower : followers_of(id)) {
    auto& open = after_.at(follower);
    open.erase(id);
    if (!open.empty()) continue;
    after_.erase(follower);
    free.push_back(follower);
  }
  followers_.erase(id);
  return free;
}

std::vector<TaskId> Dependencies::failed(TaskId id) {
  auto followers = followers_of(id);
  for (const TaskId follower : followers) remove(follower);
  return followers;
}

}  // namespace riverbox::host
