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
#include <unordered_map>
#include <vector>

#include "base/ids.hpp"
#include "host/scheduler.hpp"

namespace riverbox::host {

class Queue {
public:
  using Time = std::chrono::steady_clock::time_point;  // a clock that somebody sets must not make anybody wait longer
  explicit Queue(std::chrono::seconds patience) : patience_(patience) {}

  struct Start {
    TaskId id;
    std::string node;
    std::vector<int> gpus;
    std::string why;  // there, for people
    std::vector<int> cpus = {};  // empty: all
  };

  void add(TaskId id, int priority, const Demand& demand, Time since);
  bool remove(TaskId id);  // false: it does not wait here
  size_t size() const { return places_.size(); }

  // Who starts now, in that order; they leave the queue, and `machines` hold what they take. At most `most`: the caller comes again.
  std::vector<Start> pass(std::vector<Machine>& machines, Time now, size_t most);

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
  // Tasks that want the same are many: what is found out for the first of them is found out for all, and a pass looks at no other.
  struct Shape {
    Demand demand;
    std::map<Key, Time> waiting;  // since
  };
  struct Waiting {
    Key key;
    size_t shape = 0;  // index into shapes_
  };
  struct Place {
    size_t machine = 0;
    bool has_image = false;
  };
  class Pass;

  size_t shape_of(const Demand& demand);

  std::chrono::seconds patience_;
  std::unordered_map<std::uint64_t, Waiting> places_;  // by task
  std::vector<Shape> shapes_;
  std::map<Demand, size_t> shape_numbers_;
  std::vector<size_t> free_shapes_;
  std::map<std::uint64_t, std::string> kept_;  // task -> node, by the last pass
};

}  // namespace riverbox::host
