#include "api/guests.hpp"

#include <boost/asio/post.hpp>
#include <vector>

namespace riverbox::api {

void Guests::add(const std::string& token_id, Guest guest) {
  if (token_id.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (guests_.size() >= tidy_at_) {
      std::erase_if(guests_, [](const auto& entry) { return entry.second.connection.expired(); });
      tidy_at_ = 2 * guests_.size() + 64;
    }
    guests_.emplace(token_id, std::move(guest));
  }
  if (!is_valid_(token_id)) show_out(token_id);  // whoever ended it before may not have seen this one
}

void Guests::show_out(const std::string& token_id) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = guests_.equal_range(token_id);
  for (auto it = first; it != last; ++it) boost::asio::post(loop_, std::move(it->second.leave));
  guests_.erase(first, last);
}

}  // namespace riverbox::api
