// What the tasks that have a place hold, by node: from their assignment until their runner says that they are over. Pure; not thread-safe.
#pragma once
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/scheduler.hpp"

namespace riverbox::host {

class Ledger {
public:
  void hold(const TaskSpec& spec, const std::string& node);  // again: nothing happens
  bool holds(TaskId id) const { return entries_.contains(id.value()); }
  bool release(TaskId id);                                   // false: it held nothing
  const Usage& of(const std::string& node) const;
  std::vector<TaskId> holders_on(const std::string& node) const;

private:
  struct Entry {
    std::string node;
    Usage share;
  };
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::map<std::string, Usage> usage_;
};

}  // namespace riverbox::host
