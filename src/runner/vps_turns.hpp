// Whose turn it is with a VPS: one start, one snapshot, one removal of it at a time. Thread-safe.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/ids.hpp"

namespace riverbox::runner {

class VpsTurns {
public:
  // Ends with its life.
  class Turn {
  public:
    Turn(VpsTurns& owner, TaskId id) : owner_(&owner), id_(id) {}
    Turn(Turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), id_(other.id_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (owner_) owner_->end(id_);
    }

  private:
    VpsTurns* owner_;
    TaskId id_;
  };

  // `what` is done in it, for who comes meanwhile: "its snapshot is being taken". nullopt: something else is done.
  std::optional<Turn> try_take(TaskId id, std::string what);
  // Throws Conflict that says what is done, at once; but what has itself waited for its turn, a start, has some seconds to come to its end.
  Turn take(TaskId id, std::string what);
  // Blocks. `meanwhile` is called from time to time, told what is waited for, and may throw.
  using Meanwhile = std::function<void(const std::string& what)>;
  Turn wait_for(TaskId id, std::string what, const Meanwhile& meanwhile);
  // The same, and takes none.
  void wait_until_free(TaskId id, const Meanwhile& meanwhile);

private:
  struct Work {
    std::string what;  // empty: nothing
    bool is_brief = false;
  };
  std::optional<Turn> try_take(TaskId id, Work work);
  Work work_on(TaskId id);
  void end(TaskId id);
  std::mutex mutex_;
  std::map<TaskId, Work> taken_;
};

}  // namespace riverbox::runner
