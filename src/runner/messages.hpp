// The text of the link, both ways (docs/link-protocol.md). Pure functions.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/signature.hpp"
#include "base/snapshot.hpp"
#include "base/task.hpp"
#include "environment/holdings.hpp"
#include "environment/sync.hpp"
#include "net/file_part.hpp"
#include "runner/attempt_id.hpp"
#include "runner/inventory.hpp"
#include "terminal/shell.hpp"

namespace riverbox::runner {

struct Welcome {
  std::int64_t epoch = 0;
  std::chrono::milliseconds heartbeat_interval{5000};
  std::string shared_dir;
};
struct Refused {
  std::string message;
};
struct Acknowledged {
  std::int64_t sequence = 0;
};
// The host has taken the beat of that moment.
struct Heard {
  std::chrono::milliseconds sent{};
};
// Whose signatures of versions are to be believed, instead of whose were before.
struct Keys {
  std::vector<PublicKey> keys;
};
struct Dispatch {
  TaskSpec task;
};
struct Kill {
  AttemptId attempt;
};
struct Control {
  bool pause = true;  // else resume
  AttemptId attempt;
  std::string request;  // JSON text, sent back as it came
};
struct RemoveVps {
  TaskId id;
  std::string request;  // likewise
};
struct SnapshotQuestion {
  SnapshotOrder order;
  std::string request;  // likewise
};
// A part of one file as it is now, instead of all that comes.
struct OutputPart {
  std::string file;  // relative to the share
  net::PartRequest request;
};
struct OpenLogs {
  std::string stream;
  AttemptId attempt;
  std::uint64_t from[2] = {0, 0};  // stdout, stderr
  std::optional<OutputPart> part = {};
};
// Bring an environment here before a task asks for it.
struct Sync {
  std::string environment, tarball;
  bool exact = false;   // this tarball and no newer one
  bool idle = false;    // nobody waits: after everything else
  std::string request;  // JSON text, sent back as it came
};
// A shell in the container of an attempt, on a stream as that of OpenLogs.
struct OpenTerminal {
  std::string stream;
  AttemptId attempt;
  terminal::RelayOptions options = {};
};
// A way to ports of the container of an attempt, on a stream as that of OpenLogs.
struct OpenForward {
  std::string stream;
  AttemptId attempt;
};
// Which sessions of an attempt are shared.
struct ListSessions {
  AttemptId attempt;
  std::string request;  // JSON text, sent back as it came
};
using HostMessage = std::variant<Welcome, Refused, Acknowledged, Heard, Keys, Dispatch, Kill, Control, RemoveVps, SnapshotQuestion, OpenLogs, OpenTerminal, OpenForward, ListSessions, Sync>;

// Throws InvalidInput that says what is wrong with the message. nullopt: a type this version does not know; `type` (if
// given) is set to it either way.
std::optional<HostMessage> parse_host_message(std::string_view text, std::string* type = nullptr);

std::string hello_text(const Inventory& inventory, std::string_view version, const std::vector<KnownAttempt>& attempts);
std::string report_text(std::int64_t sequence, const TaskReport& report);
std::string synced_text();
// `sent`: by the clock of Lease; the host sends it back.
std::string heartbeat_text(std::chrono::milliseconds sent, const os::Load& load, const std::vector<os::Gpu>& gpus, const std::vector<TaskId>& running);
std::string result_text(const std::string& request, bool ok, std::string_view message);
std::string sessions_text(const std::string& request, const std::vector<terminal::SessionFacts>& sessions);  // an answer to `sessions`
std::string progress_text(const std::string& request, const environment::SyncProgress& progress);
std::string sync_result_text(const std::string& request, const environment::SyncResult& result);  // an answer to `sync`
std::string snapshots_text(const std::string& request, const SnapshotAnswer& answer);  // an answer to `snapshots`
std::string loaded_text(const environment::SyncResult& result);
std::string holdings_text(const std::vector<environment::Holding>& holdings);
std::string end_text();  // of a log stream
std::string part_text(const net::FilePart& part);  // before the bytes of a part
std::string no_part_text(std::string_view why);

}  // namespace riverbox::runner
