// The snapshots of the VPSs of this node: images <prefix>-snapshot/vps-<id>:<unix seconds>. They are what Docker says they are; nothing else keeps book of them.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/snapshot.hpp"
#include "docker/engine.hpp"
#include "runner/container_spec.hpp"
#include "runner/vps_turns.hpp"

namespace riverbox::runner {

struct SnapshotRules {
  bool auto_on_stop = false, auto_restore = true;
  size_t most = 3;  // of one VPS; 0: all that are taken
};

// Thread-safe. What touches Docker blocks and throws docker errors; who changes something has the VPS's turn.
class Snapshots {
public:
  Snapshots(docker::Engine& engine, NodeFacts facts, SnapshotRules rules) : engine_(engine), facts_(std::move(facts)), rules_(rules) {}
  const SnapshotRules& rules() const { return rules_; }
  VpsTurns& turns() { return turns_; }

  // Newest first.
  std::vector<VpsSnapshot> list(TaskId id);
  // The ID of its image. Throws NotFound.
  std::string image(TaskId id, std::int64_t timestamp);
  // Of the container as it is. One that runs stands still meanwhile: seconds for each GB that has changed. Older ones go as the rules say, but not `needed`, nor that
  // which the VPS was made of. After a crash in the middle there is a whole snapshot or none.
  VpsSnapshot take(TaskId id, const std::string& message, std::optional<std::int64_t> needed = {});
  // One, or all but that which the VPS was made of. Returns what went. Throws NotFound, Conflict for the one that it was made of.
  std::vector<VpsSnapshot> remove(TaskId id, std::optional<std::int64_t> timestamp);
  // The VPS is no more, nor its container.
  void remove_all(TaskId id);

  // The runner ended while it was at the commit of one that ran: that it stands still says nothing, it will not. True once.
  bool was_at_commit(TaskId id) noexcept;
  // A commit of the container, under a tag that is no snapshot's; gone with its life.
  class Passing {
  public:
    Passing(Snapshots& owner, TaskId id);
    ~Passing();
    Passing(Passing&&) = delete;
    const docker::Image& image() const { return image_; }
    // The ID of the image that the VPS was first made of, before any snapshot.
    const std::string& base() const { return base_; }

  private:
    Snapshots& owner_;
    const std::string tag_;
    std::string base_;
    docker::Image image_;
  };

  // At start: what a publish that was cut short has left. Never throws.
  void remove_leftovers() noexcept;
  // What is being taken is given up: whether there will be a snapshot is up to the engine.
  void stop() { stopping_.cancel(); }
  const CancelToken& stopping() const { return stopping_; }

private:
  std::string repository(TaskId id) const;
  std::string passing_tag() const;
  std::filesystem::path commit_mark(TaskId id) const;
  std::string base_of(const docker::Container& container) const;
  void commit(TaskId id, const docker::Container& container, const std::string& message, const std::string& tag);
  void prune(TaskId id, std::int64_t taken, std::optional<std::int64_t> needed);

  docker::Engine& engine_;
  const NodeFacts facts_;
  const SnapshotRules rules_;
  VpsTurns turns_;
  CancelToken stopping_;
};

}  // namespace riverbox::runner
