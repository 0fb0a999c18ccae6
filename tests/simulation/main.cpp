// simulation [--seeds N | --seed N] [--nodes N] [--tasks N] [--trail]
//
// Worlds of random machines, tasks and faults, each from its seed (1, 2, 3...). One in which something happens that must never happen is lived again to tell what came before, and
// the program ends with 1.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/log.hpp"
#include "world.hpp"

using namespace riverbox;
using namespace riverbox::simulation;

namespace {

constexpr size_t kLastLines = 60;

struct Options {
  std::uint64_t seeds = 200;
  std::optional<std::uint64_t> seed;
  int nodes = 0, tasks = 0;
  bool trail = false;
};

[[noreturn]] void usage() {
  std::fputs("usage: simulation [--seeds N | --seed N] [--nodes N] [--tasks N] [--trail]\n"
             "  --seeds N  so many worlds (default: $RIVERBOX_SIMULATION_SEEDS, else 200)\n"
             "  --seed N   only this one\n"
             "  --nodes N, --tasks N  of that size, such as 1000 and 100000 (default: small ones, as the seed has them)\n"
             "  --trail    tell everything that happens\n", stderr);
  std::exit(64);
}

std::uint64_t number(const char* text) {
  char* end = nullptr;
  const auto value = text ? std::strtoull(text, &end, 10) : 0;
  if (!text || !*text || *end || value > 1'000'000'000) usage();
  return value;
}

Options options_of(int argc, char** argv) {
  Options options;
  if (const char* seeds = std::getenv("RIVERBOX_SIMULATION_SEEDS")) options.seeds = number(seeds);
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--trail") options.trail = true;
    else if (flag == "--seeds") options.seeds = number(argv[++i]);
    else if (flag == "--seed") options.seed = number(argv[++i]);
    else if (flag == "--nodes") options.nodes = static_cast<int>(number(argv[++i]));
    else if (flag == "--tasks") options.tasks = static_cast<int>(number(argv[++i]));
    else usage();
  }
  return options;
}

// Everything about the tasks and nodes that `what` names, and the last that happened at all.
void tell(const Trail& trail, const std::string& what) {
  const auto& lines = trail.lines();
  const auto subject = what.starts_with("#") ? what.substr(0, what.find_first_of("/ ")) : std::string();
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool concerns = !subject.empty() && (lines[i].find(subject + "/") != std::string::npos);
    if (concerns || lines.size() - i <= kLastLines) std::printf("%s\n", lines[i].c_str());
  }
}

// False: a violation, which is told.
bool live(const Options& options, std::uint64_t seed, Figures& sum) {
  const Settings settings{seed, options.nodes, options.tasks};
  Trail trail(options.trail);
  std::string what;
  try {
    const auto figures = World(settings, trail).run();
    sum.tasks += figures.tasks;
    sum.starts += figures.starts;
    sum.faults += figures.faults;
    sum.host_restarts += figures.host_restarts;
    sum.lasted += figures.lasted;
  } catch (const std::exception& error) {
    what = error.what();
  }
  if (options.trail)
    for (const auto& line : trail.lines()) std::printf("%s\n", line.c_str());
  if (what.empty()) return true;
  if (!options.trail) {
    Trail again(true);
    try {
      World(settings, again).run();
      what += " (but not when it was repeated)";
    } catch (const std::exception&) {
      tell(again, what);
    }
  }
  std::printf("VIOLATION: %s\nagain: simulation --seed %llu", what.c_str(), static_cast<unsigned long long>(seed));
  if (options.nodes) std::printf(" --nodes %d", options.nodes);
  if (options.tasks) std::printf(" --tasks %d", options.tasks);
  std::printf(" --trail\n");
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = options_of(argc, argv);
  log::set_level(log::Level::error);
  Figures sum;
  const std::uint64_t first = options.seed.value_or(1), last = options.seed.value_or(options.seeds);
  for (std::uint64_t seed = first; seed <= last; ++seed)
    if (!live(options, seed, sum)) return 1;
  std::printf("%llu worlds, %zu tasks, %zu starts, %zu faults, %zu crashes of the host, %lld h: nothing lost, nothing twice, nothing over-booked, everybody had a turn\n",
              static_cast<unsigned long long>(last - first + 1), sum.tasks, sum.starts, sum.faults, sum.host_restarts, static_cast<long long>(sum.lasted.count() / 3'600'000));
  return 0;
}
