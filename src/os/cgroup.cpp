#include "os/cgroup.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::os {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr const char* kParent = "riverbox";  // of all groups that are not in one that is ours
constexpr int kPeriodMicroseconds = 100'000;

std::string read_text(const fs::path& file) {
  try {
    return read_file(file);
  } catch (const Error&) {
    return {};
  }
}

// False: the kernel does not take it, or there is no such file.
bool put(const fs::path& file, const std::string& value) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool make_folder(const fs::path& folder) { return ::mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST; }

// The number after `key` in lines of "key number".
std::uint64_t number_of(const std::string& text, std::string_view key) {
  for (const std::string& line : split(text, '\n'))
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') return parse_u64(trim(line.substr(key.size()))).value_or(0);
  return 0;
}

bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 200; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

// A hierarchy, and where in it this process is.
struct Hierarchy {
  int version = 2;
  fs::path root, own;
  std::set<std::string> controllers;
};

std::vector<Hierarchy> hierarchies() {
  std::vector<Hierarchy> found;
  for (const std::string& line : split(read_text("/proc/self/mounts"), '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 4 || (fields[2] != "cgroup" && fields[2] != "cgroup2")) continue;
    Hierarchy one{.version = fields[2] == "cgroup2" ? 2 : 1, .root = fields[1], .own = fields[1], .controllers = {}};
    for (const std::string& option : split(fields[3], ',')) one.controllers.insert(option);  // those that name no controller are never asked for
    found.push_back(std::move(one));
  }
  for (const std::string& line : split(read_text("/proc/self/cgroup"), '\n')) {  // "4:cpu,cpuacct:/a", "0::/a"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos || second + 2 > line.size()) continue;
    const auto names = split(line.substr(first + 1, second - first - 1), ',');
    for (Hierarchy& one : found) {
      const bool is_it = names.empty() || names.front().empty() ? one.version == 2 : one.version == 1 && one.controllers.contains(names.front());
      // The path is one of another mount where a container shows only a part of the hierarchy.
      if (const fs::path own = one.root / line.substr(second + 2); is_it && is_folder(own)) one.own = own;
    }
  }
  return found;
}

void enable_controllers(const fs::path& folder) {
  for (const char* controller : {"+memory", "+cpu", "+cpuset", "+pids"}) put(folder / "cgroup.subtree_control", controller);
}

// A new group of cpuset allows nothing until it is told.
void inherit_cpuset(const fs::path& folder) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"})
    if (trim(read_text(folder / file)).empty()) put(folder / file, std::string(trim(read_text(folder.parent_path() / file))));
}

void kill_group(const fs::path& folder) {
  if (put(folder / "cgroup.kill", "1")) return;
  for (int round = 0; round < 100; ++round) {  // of one that forks meanwhile
    const auto pids = split(read_text(folder / "cgroup.procs"), '\n');
    bool any = false;
    for (const std::string& pid : pids)
      if (const auto number = parse_u64(pid); number && *number > 1) any |= ::kill(static_cast<pid_t>(*number), SIGKILL) == 0;
    if (!any) return;
  }
}

// With the groups that the command has made below it; files of a group cannot be removed, and need not be.
void remove_group(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) remove_group(entry.path());
  wait_for([&] { return ::rmdir(folder.c_str()) == 0 || errno != EBUSY; });
  if (folder.parent_path().filename() == kParent) ::rmdir(folder.parent_path().c_str());  // the last one
}

}  // namespace

std::string cpu_list(const std::vector<int>& cpus) {
  auto sorted = cpus;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::string> ranges;
  for (size_t i = 0; i < sorted.size();) {
    size_t last = i;
    while (last + 1 < sorted.size() && sorted[last + 1] <= sorted[last] + 1) ++last;
    ranges.push_back(sorted[i] == sorted[last] ? std::to_string(sorted[i]) : fmt::format("{}-{}", sorted[i], sorted[last]));
    i = last + 1;
  }
  return join(ranges, ",");
}

Cgroup::Cgroup(const std::string& name, const GroupLimits& limits, bool delegated) {
  make_unified(name, delegated);
  make_classic(name, limits);
  if (places_.empty()) notes_.push_back("No control group could be made.");
  limit(limits);
}

void Cgroup::make_unified(const std::string& name, bool delegated) {
  const auto all = hierarchies();
  const auto unified = std::find_if(all.begin(), all.end(), [](const Hierarchy& h) { return h.version == 2; });
  if (unified == all.end()) return;
  fs::path folder;
  if (delegated) {
    // A group with processes of its own gives no controllers to groups below it.
    const fs::path supervisor = unified->own / "supervisor";
    if (make_folder(supervisor)) put(supervisor / "cgroup.procs", "0");
    enable_controllers(unified->own);
    folder = unified->own / "task";
    if (!make_folder(folder)) return;
  } else {
    const auto make_at = [&](const fs::path& base) {
      const fs::path parent = base / kParent;
      for (int i = 0; i < 3; ++i) {  // the end of another one may remove the parent
        if (!make_folder(parent)) return false;
        enable_controllers(base);
        enable_controllers(parent);
        folder = parent / name;
        if (make_folder(folder)) return true;
      }
      ::rmdir(parent.c_str());
      return false;
    };
    if (!make_at(unified->root) && !make_at(unified->own)) return;
  }
  if (::access((folder / "cgroup.procs").c_str(), W_OK) != 0) return;
  Place place{.version = 2, .folder = folder, .controllers = {}};
  for (const std::string& controller : split(std::string(trim(read_text(folder / "cgroup.controllers"))), ' ')) place.controllers.insert(controller);
  places_.push_back(std::move(place));
}

// Those that are needed and that version 2 does not have.
void Cgroup::make_classic(const std::string& name, const GroupLimits& limits) {
  std::set<std::string> wanted;
  if (limits.memory_bytes > 0) wanted.insert("memory");
  if (limits.cores > 0) wanted.insert("cpu");
  if (limits.processes > 0) wanted.insert("pids");
  if (!limits.cpus.empty() || limits.memory_node) wanted.insert("cpuset");
  if (!can_freeze()) wanted.insert("freezer");
  for (const Hierarchy& hierarchy : hierarchies()) {
    Place place{.version = 1, .folder = hierarchy.own / kParent / name, .controllers = {}};
    if (hierarchy.version != 1) continue;
    for (const std::string& controller : wanted)
      if (hierarchy.controllers.contains(controller) && !with(controller)) place.controllers.insert(controller);
    if (place.controllers.empty()) continue;
    bool made = false;
    for (int i = 0; i < 3 && !made; ++i) {
      made = make_folder(place.folder.parent_path());
      if (made && place.controllers.contains("cpuset")) inherit_cpuset(place.folder.parent_path());
      made = made && make_folder(place.folder);
    }
    if (!made) {
      ::rmdir(place.folder.parent_path().c_str());
      continue;
    }
    if (place.controllers.contains("cpuset")) inherit_cpuset(place.folder);
    places_.push_back(std::move(place));
  }
}

const Cgroup::Place* Cgroup::with(const std::string& controller) const {
  const auto found = std::find_if(places_.begin(), places_.end(), [&](const Place& place) { return place.controllers.contains(controller); });
  return found == places_.end() ? nullptr : &*found;
}

void Cgroup::limit(const GroupLimits& limits) {
  if (limits.memory_bytes > 0) {
    const Place* place = with("memory");
    const auto bytes = std::to_string(limits.memory_bytes);
    if (!place || !put(place->folder / (place->version == 2 ? "memory.max" : "memory.limit_in_bytes"), bytes))
      notes_.push_back("Its memory limit is not enforced: there is no control group for memory.");
    else if (place->version == 2) put(place->folder / "memory.swap.max", "0");
    else put(place->folder / "memory.memsw.limit_in_bytes", bytes);  // memory and swap; only where swap is counted
  }
  if (limits.cores > 0) {
    const Place* place = with("cpu");
    const auto quota = std::to_string(static_cast<std::int64_t>(limits.cores) * kPeriodMicroseconds);
    const bool done = place && (place->version == 2 ? put(place->folder / "cpu.max", fmt::format("{} {}", quota, kPeriodMicroseconds))
                                                    : put(place->folder / "cpu.cfs_period_us", std::to_string(kPeriodMicroseconds)) && put(place->folder / "cpu.cfs_quota_us", quota));
    if (!done) notes_.push_back("Its number of cores is not enforced: there is no control group for processor time.");
  }
  if (limits.processes > 0) {
    const Place* place = with("pids");
    if (!place || !put(place->folder / "pids.max", std::to_string(limits.processes)))
      notes_.push_back("Its number of processes is not limited: there is no control group for it.");
  }
  if (const Place* place = with("cpuset"); place && (!limits.cpus.empty() || limits.memory_node))
    binds_cpus_ = (limits.cpus.empty() || put(place->folder / "cpuset.cpus", cpu_list(limits.cpus))) &&
                  (!limits.memory_node || put(place->folder / "cpuset.mems", std::to_string(*limits.memory_node)));
}

std::vector<std::string> Cgroup::folders() const {
  std::vector<std::string> out;
  for (const Place& place : places_) out.push_back(place.folder.string());
  return out;
}

void Cgroup::enter() const {
  for (const Place& place : places_) put(place.folder / "cgroup.procs", "0");
}

bool Cgroup::can_freeze() const {
  return std::any_of(places_.begin(), places_.end(), [](const Place& place) {
    return place.version == 1 ? place.controllers.contains("freezer") : ::access((place.folder / "cgroup.freeze").c_str(), W_OK) == 0;
  });
}

void Cgroup::freeze(bool frozen) const {
  for (const Place& place : places_) {
    if (place.version == 2) {
      if (put(place.folder / "cgroup.freeze", frozen ? "1" : "0") && frozen)
        wait_for([&] { return number_of(read_text(place.folder / "cgroup.events"), "frozen") == 1; });
    } else if (place.controllers.contains("freezer")) {
      put(place.folder / "freezer.state", frozen ? "FROZEN" : "THAWED");
      if (frozen) wait_for([&] { return trim(read_text(place.folder / "freezer.state")) == "FROZEN"; });
    }
  }
}

void Cgroup::kill() const {
  for (const Place& place : places_) kill_group(place.folder);
}

bool Cgroup::oom_killed() const {
  const Place* place = with("memory");
  return place && number_of(read_text(place->folder / (place->version == 2 ? "memory.events" : "memory.oom_control")), "oom_kill") > 0;
}

void Cgroup::remove() {
  for (const Place& place : places_) remove_group(place.folder);
  places_.clear();
}

void end_groups(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    if (!is_folder(folder)) continue;
    kill_group(folder);
    put(fs::path(folder) / "cgroup.freeze", "0");
    put(fs::path(folder) / "freezer.state", "THAWED");  // what is frozen by version 1 cannot even die
    remove_group(folder);
  }
}

}  // namespace riverbox::os
