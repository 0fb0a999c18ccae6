// Brings environments to nodes before a task asks for them: on request, or after a publish to those that used the environment lately.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "host/environments.hpp"
#include "host/nodes.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

struct NodeSync {
  std::string node;
  SyncAnswer answer;
};

class WarmUp {
public:
  // `timeout`: of one node's load, as the nodes have it.
  WarmUp(Nodes& nodes, store::TaskRepository& tasks, std::chrono::seconds timeout) : nodes_(nodes), tasks_(tasks), timeout_(timeout) {}

  // Blocks until every node has answered, by name. No names: all that are connected. Throws NotFound for a name that is no node's, Unavailable
  // when no node is connected. A node that is away is an answer like others.
  std::vector<NodeSync> sync(const SyncOrder& order, const std::vector<std::string>& node_names, const StepCallback& progress);
  // Returns at once; nobody hears of a failure but the logs. A task loads what is missing anyway.
  void preload(const std::string& environment, const std::string& tarball);

private:
  std::vector<NodeView> chosen(const std::vector<std::string>& names) const;

  Nodes& nodes_;
  store::TaskRepository& tasks_;
  const std::chrono::seconds timeout_;
};

}  // namespace riverbox::host
