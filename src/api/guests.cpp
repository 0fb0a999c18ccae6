#include "api/guests.hpp"

#include <vector>

namespace riverbox::api {

void Guests::add(const std::string& token_id, std::weak_ptr<const void> connection, std::function<void()> leave) {
  if (token_id.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (guests_.size() >= tidy_at_) {
      std::erase_if(guests_, [](const auto& entry) { return entry.second.connection.expired(); });
      tidy_at_ = 2 * guests_.size() + 64;
    }
    guests_.emplace(token_id, Guest{std::move(connection), std::move(leave)});
  }
  if (!is_valid_(token_id)) show_out(token_id);  // whoever ended it before may not have seen this one
}

void Guests::show_out(const std::string& token_id) {
  std::vector<Guest> leaving;
  {
    const std::lock_guard lock(mutex_);
    const auto [first, last] = guests_.equal_range(token_id);
    for (auto it = first; it != last; ++it) leaving.push_back(std::move(it->second));
    guests_.erase(first, last);
  }
  for (const Guest& guest : leaving)
    if (const auto alive = guest.connection.lock()) guest.leave();
}

}  // namespace riverbox::api
