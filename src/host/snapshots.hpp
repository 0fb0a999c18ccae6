// The host's way to the snapshots of VPSs, which lie in the Docker of their nodes (docs/vps.md).
#pragma once
#include <functional>

#include "base/snapshot.hpp"
#include "host/environments.hpp"
#include "host/nodes.hpp"
#include "store/host_store.hpp"

namespace riverbox::host {

class Snapshots {
public:
  explicit Snapshots(Nodes& nodes) : nodes_(nodes) {}

  // Returns at once. `done` exactly once, also when the link breaks. Throws Conflict when the VPS has never been on a node, Unavailable when its node is not connected or its runner too old.
  using Done = std::function<void(const SnapshotAnswer&)>;
  void ask(const store::TaskRecord& vps, SnapshotOrder order, Done done, const StepCallback& progress = [](const StepProgress&) {});
  // Throws Unavailable when the VPS's node is connected and its runner too old to begin one anew.
  void check_runner(const store::TaskRecord& vps) const;
  // Blocks until it is done, hours at most. Throws as the other, what the node has thrown, and Timeout.
  SnapshotAnswer ask_and_wait(const store::TaskRecord& vps, SnapshotOrder order, const StepCallback& progress);

private:
  Nodes& nodes_;
};

}  // namespace riverbox::host
