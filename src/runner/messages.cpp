#include "runner/messages.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "os/topology_json.hpp"

namespace riverbox::runner {
namespace {

using nlohmann::json;

constexpr int kProtocol = 1;

const json& required(const json& message, const char* field) {
  auto found = message.find(field);
  if (found == message.end() || found->is_null()) throw InvalidInput(fmt::format("the message lacks \"{}\"", field));
  return *found;
}

// Strings, and whole numbers where a host writes them instead.
std::string text_of(const json& message, const char* field) {
  const json& value = required(message, field);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  throw InvalidInput(fmt::format("\"{}\" is not a string", field));
}

std::int64_t number_of(const json& message, const char* field) {
  const json& value = required(message, field);
  if (!value.is_number_integer()) throw InvalidInput(fmt::format("\"{}\" is not a whole number", field));
  return value.get<std::int64_t>();
}

std::uint64_t offset_of(const json& message, const char* field) {
  auto found = message.find(field);
  if (found == message.end() || found->is_null()) return 0;
  auto value = number_of(message, field);
  if (value < 0) throw InvalidInput(fmt::format("\"{}\" is negative", field));
  return static_cast<std::uint64_t>(value);
}

AttemptId attempt_of(const json& message) {
  auto attempt = number_of(message, "attempt");
  if (attempt < 1 || attempt > 1'000'000) throw InvalidInput(fmt::format("\"attempt\" is {}", attempt));
  return {TaskId::parse(text_of(message, "task_id")), static_cast<int>(attempt)};
}

Welcome welcome_of(const json& message) {
  Welcome welcome;
  welcome.epoch = number_of(message, "epoch");
  if (auto interval = message.find("heartbeat_interval_s"); interval != message.end() && interval->is_number()) {
    // A host that asks for nonsense gets a beat between 100 ms and a minute.
    auto milliseconds = std::clamp(interval->get<double>() * 1000, 100.0, 60'000.0);
    welcome.heartbeat_interval = std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds));
  }
  if (auto dir = message.find("shared_dir"); dir != message.end() && dir->is_string()) welcome.shared_dir = dir->get<std::string>();
  return welcome;
}

json optional_number(const std::optional<double>& value) { return value ? json(*value) : json(); }

bool flag_of(const json& message, const char* field) {
  auto found = message.find(field);
  if (found == message.end() || found->is_null()) return false;
  if (!found->is_boolean()) throw InvalidInput(fmt::format("\"{}\" is neither true nor false", field));
  return found->get<bool>();
}

Keys keys_of(const json& message) {
  constexpr size_t kMany = 64;
  Keys keys;
  const json& list = required(message, "keys");
  if (!list.is_array() || list.size() > kMany) throw InvalidInput("\"keys\" is no list of keys");
  for (const json& key : list) keys.keys.push_back(PublicKey::parse(key.get<std::string>()));
  return keys;
}

Sync sync_of(const json& message) {
  Sync sync{.environment = text_of(message, "environment"), .tarball = text_of(message, "tarball"), .request = required(message, "request").dump()};
  sync.exact = flag_of(message, "exact");
  sync.idle = flag_of(message, "idle");
  return sync;
}

OutputPart part_of(const json& message) {
  OutputPart part{.file = text_of(message, "file"), .request = {}};
  if (message.contains("range")) part.request.range = text_of(message, "range");
  if (message.contains("tail")) part.request.last_lines = offset_of(message, "tail");
  return part;
}

std::uint16_t size_of(const json& message, const char* field) {
  const auto size = number_of(message, field);
  if (size < 1 || size > UINT16_MAX) throw InvalidInput(fmt::format("\"{}\" is {}", field, size));
  return static_cast<std::uint16_t>(size);
}

terminal::SessionWish session_of(const json& wanted) {
  if (!wanted.is_object()) throw InvalidInput("\"session\" is not an object");
  terminal::SessionWish wish{.name = terminal::SessionName::parse(text_of(wanted, "name")), .watch = flag_of(wanted, "watch"), .fresh = flag_of(wanted, "new")};
  if (wanted.contains("resume")) wish.resume = terminal::SessionPlace::parse(text_of(wanted, "resume"));
  return wish;
}

OpenTerminal terminal_of(const json& message) {
  OpenTerminal open{.stream = text_of(message, "stream"), .attempt = attempt_of(message)};
  const auto dialect = text_of(message, "dialect");
  if (dialect != "riverbox" && dialect != "json") throw InvalidInput("\"dialect\" is neither riverbox nor json");
  open.options.dialect = dialect == "riverbox" ? terminal::Dialect::riverbox : terminal::Dialect::kohaku;
  auto& wanted = open.options.open;
  wanted.tty = flag_of(message, "tty");
  wanted.rows = size_of(message, "rows");
  wanted.columns = size_of(message, "cols");
  required(message, "env").get_to(wanted.env);
  if (const auto session = message.find("session"); session != message.end()) open.options.session = session_of(*session);
  return open;
}

HostMessage message_of(const std::string& type, const json& message) {
  if (type == "welcome") return welcome_of(message);
  if (type == "refused") return Refused{message.contains("message") ? text_of(message, "message") : "no reason was given"};
  if (type == "ack") return Acknowledged{number_of(message, "sequence")};
  if (type == "heard") return Heard{std::chrono::milliseconds(number_of(message, "sent"))};
  if (type == "keys") return keys_of(message);
  if (type == "dispatch") return Dispatch{required(message, "task").get<TaskSpec>()};
  if (type == "kill") return Kill{attempt_of(message)};
  if (type == "remove_vps") return RemoveVps{TaskId::parse(text_of(message, "task_id")), required(message, "request").dump()};
  if (type == "snapshots") return SnapshotQuestion{required(message, "order").get<SnapshotOrder>(), required(message, "request").dump()};
  if (type == "pause" || type == "resume") return Control{type == "pause", attempt_of(message), required(message, "request").dump()};
  if (type == "sync") return sync_of(message);
  if (type == "open_terminal") return terminal_of(message);
  if (type == "open_forward") return OpenForward{text_of(message, "stream"), attempt_of(message)};
  if (type == "sessions") return ListSessions{attempt_of(message), required(message, "request").dump()};
  OpenLogs open;  // "open_logs"
  open.stream = text_of(message, "stream");
  open.attempt = attempt_of(message);
  open.from[0] = offset_of(message, "stdout_from");
  open.from[1] = offset_of(message, "stderr_from");
  if (auto part = message.find("part"); part != message.end()) open.part = part_of(*part);
  return open;
}

}  // namespace

std::optional<HostMessage> parse_host_message(std::string_view text, std::string* type_out) {
  static constexpr std::string_view kKnown[] = {"welcome", "refused", "ack", "heard", "keys", "dispatch", "kill", "pause", "resume", "remove_vps", "snapshots", "open_logs", "open_terminal", "open_forward", "sessions", "sync"};
  json message = json::parse(text, nullptr, false);
  if (!message.is_object()) throw InvalidInput("the message is not a JSON object");
  auto type = text_of(message, "type");
  if (type_out) *type_out = type;
  if (std::find(std::begin(kKnown), std::end(kKnown), type) == std::end(kKnown)) return std::nullopt;
  try {
    return message_of(type, message);
  } catch (const Error& error) {
    throw InvalidInput(type + ": " + error.fact());
  } catch (const json::exception& error) {  // a field of an unexpected type deep inside
    throw InvalidInput(type + ": " + error.what());
  }
}

std::string hello_text(const Inventory& inventory, std::string_view version, const std::vector<KnownAttempt>& attempts) {
  json list = json::array();
  for (const auto& known : attempts)
    list.push_back({{"task_id", known.id.task.str()}, {"attempt", known.id.attempt}, {"epoch", known.epoch}, {"state", to_string(known.state)}, {"gpus", known.gpus}, {"cpus", known.cpus}, {"claim", known.claim}});
  return json{{"type", "hello"},
              {"protocol", kProtocol},
              {"node", inventory.node},
              {"version", version},
              {"cores", inventory.cores},
              {"memory_bytes", inventory.memory_bytes},
              {"cpus", inventory.cpus},
              {"numa", os::json_of<json>(inventory.numa)},
              {"gpus", os::json_of<json>(inventory.gpus)},
              {"host_tasks", inventory.host_tasks},
              {"vpses", true},
              {"terminals", true},
              {"forwards", true},
              {"snapshots", true},
              {"sessions", true},
              {"attempts", std::move(list)}}
      .dump();
}

std::string report_text(std::int64_t sequence, const TaskReport& report) {
  return json{{"type", "report"}, {"sequence", sequence}, {"report", report}}.dump();
}

std::string synced_text() { return R"({"type":"synced"})"; }
std::string end_text() { return R"({"type":"end"})"; }

std::string part_text(const net::FilePart& part) {
  using Kind = net::RangeWish::Kind;
  const char* state = !part.fd ? "missing" : part.wish.kind == Kind::part ? "part" : part.wish.kind == Kind::unsatisfiable ? "unsatisfiable" : "whole";
  return json{{"type", "part"}, {"state", state}, {"offset", part.wish.offset}, {"size_bytes", part.wish.size_bytes}, {"whole_bytes", part.whole_bytes}}.dump();
}

std::string no_part_text(std::string_view why) { return json{{"type", "part"}, {"state", "error"}, {"message", valid_utf8(why)}}.dump(); }

std::string heartbeat_text(std::chrono::milliseconds sent, const os::Load& load, const std::vector<os::Gpu>& gpus, const std::vector<TaskId>& running) {
  json ids = json::array();
  for (auto id : running) ids.push_back(id.str());
  return json{{"type", "heartbeat"},
              {"sent", sent.count()},
              {"cpu_percent", load.cpu_percent},
              {"memory_percent", load.memory_percent},
              {"memory_used_bytes", load.memory_used_bytes},
              {"memory_total_bytes", load.memory_total_bytes},
              {"temperature_avg", optional_number(load.average_temperature)},
              {"temperature_max", optional_number(load.maximum_temperature)},
              {"gpus", os::json_of<json>(gpus)},
              {"running", std::move(ids)}}
      .dump();
}

std::string result_text(const std::string& request, bool ok, std::string_view message) {
  return json{{"type", "result"}, {"request", json::parse(request)}, {"ok", ok}, {"message", valid_utf8(message)}}.dump();
}

std::string sessions_text(const std::string& request, const std::vector<terminal::SessionFacts>& sessions) {
  json list = json::array();
  for (const auto& session : sessions)
    list.push_back({{"name", session.name}, {"since", to_rfc3339(session.since)}, {"clients", session.clients}, {"watchers", session.watchers}, {"rows", session.rows}, {"cols", session.columns}});
  return json{{"type", "result"}, {"request", json::parse(request)}, {"ok", true}, {"message", ""}, {"sessions", std::move(list)}}.dump();
}

std::string progress_text(const std::string& request, const environment::SyncProgress& progress) {
  return json{{"type", "progress"}, {"request", json::parse(request)}, {"step", progress.step}, {"bytes", progress.bytes},
              {"total_bytes", progress.total_bytes}}
      .dump();
}

std::string sync_result_text(const std::string& request, const environment::SyncResult& result) {
  return json{{"type", "result"},       {"request", json::parse(request)}, {"ok", true},          {"message", ""},
              {"tarball", result.tarball}, {"loaded", result.loaded},     {"way", result.way}, {"bytes_read", result.bytes_read}}
      .dump();
}

std::string snapshots_text(const std::string& request, const SnapshotAnswer& answer) {
  json message = answer;
  message["type"] = "result";
  message["request"] = json::parse(request);
  return message.dump();
}

std::string loaded_text(const environment::SyncResult& result) {
  return json{{"type", "loaded"}, {"tarball", result.tarball}, {"way", result.way}, {"sent_bytes", result.layer_bytes_sent}, {"saved_bytes", result.layer_bytes_left_out},
              {"seconds", result.took.count()}}
      .dump();
}

std::string holdings_text(const std::vector<environment::Holding>& holdings) {
  json list = json::array();
  for (const auto& holding : holdings) list.push_back({{"environment", holding.environment}, {"fingerprint", holding.fingerprint}});
  return json{{"type", "holdings"}, {"images", std::move(list)}}.dump();
}

}  // namespace riverbox::runner
