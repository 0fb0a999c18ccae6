// The control group of one command: its limits, its pause, and an end that nothing escapes. Version 2 and the hierarchies of version 1 (cgroups(7)), each of them where
// this process may make one. Blocking for as long as the kernel needs to freeze a group.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace riverbox::os {

struct GroupLimits {
  std::uint64_t memory_bytes = 0;  // 0 = no limit; swap does not add to it
  int cores = 0;                   // so much time of processors; 0 = no limit
  std::int64_t processes = 0;      // and threads; 0 = no limit
  std::vector<int> cpus;           // on these; empty: on all
  std::optional<int> memory_node;  // memory of this NUMA node only
};

class Cgroup {
public:
  // Makes it. What cannot be had is left out and stands in notes(); nothing is thrown. `delegated`: this process has the group that it is in for itself, as systemd's Delegate=
  // says; else the group is made beside everything else, where there is a right to.
  Cgroup(const std::string& name, const GroupLimits& limits, bool delegated);

  // What is not enforced, a sentence each.
  const std::vector<std::string>& notes() const { return notes_; }
  // False: what the limits say of processors and memory nodes is up to the process itself.
  bool binds_cpus() const { return binds_cpus_; }
  // For end_groups(), should nobody else be left to.
  std::vector<std::string> folders() const;

  void enter() const;  // the calling process. Allocates: not for a fork of a process with threads
  bool can_freeze() const;
  // Returns when everything in it stands still, or a second has passed.
  void freeze(bool frozen) const;
  void kill() const;
  bool oom_killed() const;  // the kernel has ended something of it for its memory limit
  void remove();            // when it is empty

private:
  struct Place {
    int version = 2;
    std::filesystem::path folder;
    std::set<std::string> controllers;
  };
  void make_unified(const std::string& name, bool delegated);
  void make_classic(const std::string& name, const GroupLimits& limits);
  void limit(const GroupLimits& limits);
  const Place* with(const std::string& controller) const;

  std::vector<Place> places_;
  std::vector<std::string> notes_;
  bool binds_cpus_ = false;
};

// Kills what is in these groups, and removes them. Best effort.
void end_groups(const std::vector<std::string>& folders);

// "0-2,5": as the kernel writes lists of processors.
std::string cpu_list(const std::vector<int>& cpus);

}  // namespace riverbox::os
