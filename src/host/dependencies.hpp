// Which tasks wait for the success of which others. Pure; not thread-safe.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "base/ids.hpp"

namespace riverbox::host {

class Dependencies {
public:
  void add(TaskId id, const std::vector<TaskId>& after);  // `after`: those that have not ended, one at least
  bool remove(TaskId id);                                 // it waits no more; false: it did not
  std::vector<TaskId> of(TaskId id) const;                // what it waits for

  // One has succeeded: those that waited for nothing else wait no more.
  std::vector<TaskId> succeeded(TaskId id);
  // One never will: those that waited for it wait no more.
  std::vector<TaskId> failed(TaskId id);

private:
  std::vector<TaskId> followers_of(TaskId id) const;

  std::map<TaskId, std::set<TaskId>> after_, followers_;
};

}  // namespace riverbox::host
