// The network that the containers of tasks join: <prefix>-net, a bridge of this node (seeds/003-kohakuriver-docker-integration.txt), or one that the
// administrator has made.
#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/subnet.hpp"
#include "docker/engine.hpp"
#include "os/routes.hpp"

namespace riverbox::runner {

struct NetworkPlan {
  std::string name;
  bool ours = false;  // then it is made when it is missing
  Subnet subnet;      // that it gets, where nothing else uses it
  docker::Naming::Labels labels;
  // `configured` is [docker] tasks_network. Throws InvalidInput for a subnet that is none.
  static NetworkPlan of(const docker::Naming& naming, const std::string& configured, const std::string& subnet);
};

class TaskNetwork {
public:
  TaskNetwork(docker::Engine& engine, NetworkPlan plan) : engine_(engine), plan_(std::move(plan)) {}
  const std::string& name() const { return plan_.name; }
  // Makes it when it is ours and missing: at the first task, or when somebody has pruned networks. Blocking, any thread. Throws docker::DockerError.
  void ensure();

private:
  void make();
  docker::Engine& engine_;
  const NetworkPlan plan_;
  std::mutex making_;  // held while the engine makes it: engines before 25 may make two of one name, and then nobody can join either
};

// The route that leads to some of `subnet` already; null: none.
const os::Route* in_the_way(const Subnet& subnet, const std::vector<os::Route>& routes);

}  // namespace riverbox::runner
