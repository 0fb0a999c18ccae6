// How many connections there are, in all and of each machine. Thread-safe.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace riverbox::net {

class Occupancy {
public:
  unsigned total() const;
  unsigned of(const std::string& machine) const;

private:
  friend class Slot;
  mutable std::mutex mutex_;
  unsigned total_ = 0;
  std::unordered_map<std::string, unsigned> by_machine_;
};

// Counts a connection while it lives.
class Slot {
public:
  Slot(std::shared_ptr<Occupancy> occupancy, std::string machine);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

private:
  std::shared_ptr<Occupancy> occupancy_;
  std::string machine_;
};

}  // namespace riverbox::net
