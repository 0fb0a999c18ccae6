#include "runner/task_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWidest = 8, kNarrowest = 29;
constexpr auto kAnotherRunnerMakesIt = std::chrono::seconds(2);
constexpr const char* kHowToChoose = "Set tasks_subnet below [docker] in the runner's configuration if the one that Docker chooses does not suit.";

}  // namespace

NetworkPlan NetworkPlan::of(const docker::Naming& naming, const std::string& configured, const std::string& subnet) {
  NetworkPlan plan;
  plan.name = configured.empty() ? naming.network() : configured;
  plan.ours = plan.name == naming.network();
  if (plan.ours) plan.subnet = Subnet::parse(subnet);
  if (plan.ours && (plan.subnet.prefix_bits < kWidest || plan.subnet.prefix_bits > kNarrowest))
    throw InvalidInput(fmt::format("\"{}\" has room for too few or too many containers", plan.subnet.str()), fmt::format("Write one from /{} to /{}.", kWidest, kNarrowest));
  plan.labels = {{naming.label("managed"), "true"}};
  return plan;
}

const os::Route* in_the_way(const Subnet& subnet, const std::vector<os::Route>& routes) {
  const auto found = std::find_if(routes.begin(), routes.end(), [&](const os::Route& route) {
    return route.to.prefix_bits >= kWidest && route.to.overlaps(subnet);  // a VPN may cut the default route in two
  });
  return found == routes.end() ? nullptr : &*found;
}

void TaskNetwork::ensure() {
  if (!plan_.ours || engine_.has_network(plan_.name)) return;
  const std::lock_guard lock(making_);
  if (engine_.has_network(plan_.name)) return;
  try {
    make();
  } catch (const docker::DockerError&) {
    if (!engine_.has_network(plan_.name)) throw;  // another runner on the same daemon was quicker
  }
}

void TaskNetwork::make() {
  const auto created = [&](const std::string& subnet) {
    engine_.create_bridge_network(plan_.name, subnet, plan_.labels);
    log::info("runner", "made the network of the tasks", {{"network", plan_.name}, {"subnet", subnet.empty() ? "chosen by Docker" : subnet}});
  };
  const std::string wanted = plan_.subnet.str();
  const bool is_here = engine_.endpoint().host.starts_with("unix:");
  const auto routes = is_here ? os::routes() : std::vector<os::Route>();
  if (const os::Route* route = in_the_way(plan_.subnet, routes)) {
    log::warning("runner", "the subnet of the tasks' network is in use on this machine; Docker chooses another one",
                 {{"subnet", wanted}, {"route", route->to.str()}, {"interface", route->interface}, {"next", kHowToChoose}});
    return created({});
  }
  try {
    created(wanted);
  } catch (const docker::DockerError& error) {
    if (error.fact().find("overlap") == std::string::npos) throw;
    for (const auto until = Clock::now() + kAnotherRunnerMakesIt; Clock::now() < until; std::this_thread::sleep_for(std::chrono::milliseconds(100)))
      if (engine_.has_network(plan_.name)) return;
    log::warning("runner", "another network of Docker has the subnet of the tasks' network; Docker chooses another one",
                 {{"subnet", wanted}, {"reason", error.fact()}, {"next", kHowToChoose}});
    created({});
  }
}

}  // namespace riverbox::runner
