// What the files behind `riverbox vps` share: vps.cpp, and vps_snapshots.cpp for snapshots.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "applets/applet.hpp"
#include "applets/cli.hpp"
#include "applets/output.hpp"
#include "base/json.hpp"

namespace riverbox::applets {

Argument a_vps();
// "/api/vps/VERB/ID"; without a verb "/api/vps/ID".
std::string vps_path(const Arguments& arguments, std::string_view verb = "");

// vps_snapshots.cpp
inline constexpr auto kBeginsAgain = std::chrono::seconds(75);  // the node is asked for the snapshot, and what runs may need its grace
std::vector<Option> beginning_options();           // of start and restart: --from, --fresh, --discard
Json beginning_of(const Arguments& arguments);     // the same as a body
Command with_snapshot_commands(Command vps);
using SnapshotCommand = int (*)(const Invocation&, const Arguments&);
SnapshotCommand snapshot_command(std::string_view name);  // null: it is none

}  // namespace riverbox::applets
