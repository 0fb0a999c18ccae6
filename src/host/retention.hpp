// What tasks leave behind does not grow for ever: first their output goes, if that is wanted, later they themselves. What an unfinished task is to follow stays.
#pragma once
#include <chrono>
#include <filesystem>
#include <vector>

#include "base/time.hpp"
#include "host/tasks.hpp"
#include "os/beneath.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

class Retention {
public:
  struct Policy {
    std::chrono::hours tasks{0}, output{0};  // so long after their end; 0 = for ever
  };
  Retention(store::TaskRepository& repository, std::filesystem::path shared_dir, Tasks::LogFile log_file, Policy policy)
      : repository_(repository), shared_dir_(std::move(shared_dir)), log_file_(std::move(log_file)), policy_(policy) {}

  // State worker: from now on this one.
  void change(Policy policy) { policy_ = policy; }
  // State worker: the next tasks whose output is to go, a few hundred at most, after one of them: what cannot be removed holds up nothing else.
  using OldOutput = store::TaskRepository::OldOutput;
  std::vector<store::TaskRecord> due_output(WallTime now, const OldOutput& after = {}) const;
  // Any thread; blocks on the share. Returns those of which nothing is left. What cannot be removed is said, and due again later.
  std::vector<TaskId> remove_output(const std::vector<store::TaskRecord>& tasks) const;
  // State worker.
  void output_is_removed(const std::vector<TaskId>& ids) const { repository_.output_is_removed(ids); }
  // State worker: removes the next tasks that are old enough, in one small transaction. True: there may be more.
  bool remove_tasks(WallTime now) const;

private:
  // The end of tasks that are due; empty: none is.
  std::string before(WallTime now, std::chrono::hours age) const;
  std::vector<os::Place> files_of(const store::TaskRecord& task) const;

  store::TaskRepository& repository_;
  const std::filesystem::path shared_dir_;
  const Tasks::LogFile log_file_;
  Policy policy_;
};

}  // namespace riverbox::host
