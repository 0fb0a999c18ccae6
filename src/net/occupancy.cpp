#include "net/occupancy.hpp"

namespace riverbox::net {

unsigned Occupancy::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

unsigned Occupancy::of(const std::string& machine) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_machine_.find(machine);
  return found == by_machine_.end() ? 0 : found->second;
}

Slot::Slot(std::shared_ptr<Occupancy> occupancy, std::string machine) : occupancy_(std::move(occupancy)), machine_(std::move(machine)) {
  const std::lock_guard lock(occupancy_->mutex_);
  ++occupancy_->total_;
  if (!machine_.empty()) ++occupancy_->by_machine_[machine_];
}

Slot::~Slot() {
  const std::lock_guard lock(occupancy_->mutex_);
  --occupancy_->total_;
  const auto found = occupancy_->by_machine_.find(machine_);
  if (found != occupancy_->by_machine_.end() && --found->second == 0) occupancy_->by_machine_.erase(found);
}

}  // namespace riverbox::net
