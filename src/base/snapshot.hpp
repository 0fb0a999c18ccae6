// What host and runner say to each other about the snapshots of VPSs (docs/vps.md): the question and its answer, as they travel over the link.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/ids.hpp"

namespace riverbox {

// A state of a VPS that is kept: an image in the Docker of its node.
struct VpsSnapshot {
  std::int64_t timestamp = 0;  // unix seconds; its name within its VPS
  std::string tag;             // of the image
  std::string message;         // of who took it; may be empty
  std::string created_at;      // RFC 3339
  std::uint64_t size_bytes = 0, own_bytes = 0;  // of the whole image; of what it adds to the image that the VPS was made of
  bool in_use = false;         // the VPS was made of it
};

struct SnapshotOrder {
  enum class Action { list, take, remove, publish };
  Action action = Action::list;
  TaskId vps;
  std::string message = {};                      // take
  std::optional<std::int64_t> timestamp = {};    // remove: this one, else all
  std::string environment = {};                  // publish: what it is to be a version of
};
void to_json(nlohmann::json& j, const SnapshotOrder& order);
void from_json(const nlohmann::json& j, SnapshotOrder& order);  // throws InvalidInput that names the field

struct SnapshotAnswer {
  std::optional<ErrorKind> error = {};  // it was not done
  std::string message = {};             // why not
  std::vector<VpsSnapshot> snapshots = {};  // newest first: those there are; the one that was taken; those that were removed
  std::string file = {};                // publish: the archive, in the folder of archives under a name that nobody takes for a version

  // Throws what the node has thrown.
  void check() const;
};
void to_json(nlohmann::json& j, const SnapshotAnswer& answer);
void from_json(const nlohmann::json& j, SnapshotAnswer& answer);

// Which snapshot is meant, by its number or its tag. "latest" is that of the newest. Throws NotFound with those there are.
const VpsSnapshot& choose_snapshot(const std::vector<VpsSnapshot>& snapshots, const std::string& which);

}  // namespace riverbox
