#include "doctor/checks.hpp"

#include <fmt/format.h>

#include <functional>

#include "base/error.hpp"
#include "os/isolated.hpp"

namespace riverbox::doctor {
namespace {

enum Concerns { kEverybody, kDaemons, kHosts, kRunners };

// The table. `silent` is what mends a check that does not answer.
struct Check {
  const char* name;
  Findings (*look)(const Situation&);
  Concerns concerns;
  const char* silent;
};

constexpr Check kChecks[] = {
    {"host", look_at_host, kEverybody, "riverbox doctor --host URL"},
    {"clock", look_at_clock, kEverybody, "timedatectl status"},
    {"token", look_at_token, kEverybody, "ls -l ~/.riverbox/token"},
    {"docker", look_at_docker, kDaemons, "systemctl restart docker"},
    {"store", look_at_store, kDaemons, "systemctl restart docker"},
    {"mount", look_at_mount, kDaemons, "cat /proc/self/mountinfo"},
    {"share", look_at_share, kDaemons, "umount -f -l SHARE && mount SHARE"},
    {"state", look_at_state, kDaemons, "ls -ld STATE"},
    {"port", look_at_port, kHosts, "ss -ltnp"},
    {"kernel", look_at_kernel, kDaemons, "uname -r"},
    {"gpu", look_at_gpus, kRunners, "nvidia-smi"},
};

bool concerns(const Check& check, const Situation& here) {
  switch (check.concerns) {
    case kEverybody: return true;
    case kDaemons: return here.host || here.runner;
    case kHosts: return here.host;
    case kRunners: return here.runner;
  }
  return true;
}

Findings looked(const Check& check, const Situation& here) {
  try {
    return check.look(here);
  } catch (const Error& error) {
    return problem(error.fact(), error.next().empty() ? check.silent : error.next());
  } catch (const std::exception& error) {
    return problem(error.what(), check.silent);
  }
}

std::string with_paths(std::string command, const Situation& here) {
  for (const auto& [word, path] : {std::pair("SHARE", here.config.paths.shared_dir), std::pair("STATE", here.config.paths.state_dir)})
    for (size_t at = 0; (at = command.find(word, at)) != std::string::npos; at += path.string().size()) command.replace(at, 5, path.string());
  return command;
}

}  // namespace

std::vector<Examined> examine(const Situation& here, std::chrono::milliseconds limit) {
  std::vector<const Check*> wanted;
  std::vector<std::function<std::string()>> work;
  for (const Check& check : kChecks) {
    if (!concerns(check, here)) continue;
    wanted.push_back(&check);
    work.emplace_back([&here, &check] { return encode(looked(check, here)); });
  }
  const auto answers = os::run_isolated(work, limit);
  std::vector<Examined> out;
  for (size_t i = 0; i < wanted.size(); ++i) {
    out.push_back({wanted[i]->name, answers[i] ? decode(*answers[i])
                                               : problem(fmt::format("it does not answer: nothing came within {} s", limit.count() / 1000), as_root(with_paths(wanted[i]->silent, here)))});
  }
  return out;
}

}  // namespace riverbox::doctor
