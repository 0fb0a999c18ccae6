// The tasks that wait for a place: in which order they get one, and why one has none yet. Pure: no I/O and no clock of its own; not thread-safe.
//
// Higher priority first, then the older submission. A task that does not fit does not hold up those behind it, until it has waited for `patience`: then a node is kept
// for it, and on that node only starts what leaves enough for it. What runs there ends some day, so whoever is first in the queue is never overtaken for ever.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "host/scheduler.hpp"

namespace riverbox::host {

class Queue {
public:
  explicit Queue(std::chrono::seconds patience) : patience_(patience) {}

  struct Start {
    TaskId id;
    std::string node;
    std::vector<int> gpus;
    std::string why;  // there, for people
  };

  void add(TaskId id, int priority, const Demand& demand, WallTime since);
  bool remove(TaskId id);  // false: it does not wait here
  size_t size() const { return order_.size(); }

  // Who starts now, in that order; they leave the queue, and `machines` hold what they take. At most `most`: the caller comes again.
  std::vector<Start> pass(std::vector<Machine>& machines, WallTime now, size_t most);

  struct Explanation {
    size_t position = 0;  // 1: the next
    std::string kept;     // the node that is kept for it
    std::vector<std::pair<std::string, std::string>> refusals;  // by node: why not there, now
  };
  // nullopt: it does not wait here.
  std::optional<Explanation> explain(TaskId id, const std::vector<Machine>& machines) const;

private:
  struct Key {
    int priority = 0;
    std::uint64_t age = 0;  // ids grow
    bool operator<(const Key& other) const { return priority != other.priority ? priority > other.priority : age < other.age; }
  };
  struct Waiting {
    size_t shape = 0;  // index into shapes_
    WallTime since{};
  };
  // Tasks that want the same are many: what is found out for one is found out for all of them.
  struct Shape {
    Demand demand;
    size_t waiting = 0;
  };
  struct Place {
    size_t machine = 0;
    bool has_image = false;
  };
  class Pass;

  size_t shape_of(const Demand& demand);

  std::chrono::seconds patience_;
  std::map<Key, Waiting> order_;
  std::map<std::uint64_t, Key> keys_;
  std::vector<Shape> shapes_;
  std::map<Demand, size_t> shape_numbers_;
  std::vector<size_t> free_shapes_;
  std::map<std::uint64_t, std::string> kept_;  // task -> node, by the last pass
};

}  // namespace riverbox::host
