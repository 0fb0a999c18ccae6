#include "base/task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <limits>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

using nlohmann::json;

// ---- targets and mounts

// "part" of a target as a small number; `what` names it in the message.
int parse_index(std::string_view whole, std::string_view part, std::string_view what) {
  const auto value = parse_u64(trim(part));
  if (!value || *value > 4095)
    throw InvalidInput(fmt::format("\"{}\" is not a target: the {} \"{}\" is not a small number", printable(whole, 100), what,
                                   printable(part, 40)),
                       "A target is NODE[:NUMA][::GPU,GPU...], such as gpu1:0::0,1.");
  return static_cast<int>(*value);
}

std::vector<int> parse_gpus(std::string_view whole, std::string_view list) {
  std::vector<int> gpus;
  for (const std::string& item : split(list, ',')) {
    if (trim(item).empty()) continue;  // "0,1," is what scripts produce
    const int gpu = parse_index(whole, item, "GPU");
    if (std::find(gpus.begin(), gpus.end(), gpu) != gpus.end())
      throw InvalidInput(fmt::format("\"{}\" is not a target: GPU {} is named twice", printable(whole, 100), gpu));
    gpus.push_back(gpu);
  }
  if (gpus.empty())
    throw InvalidInput(fmt::format("\"{}\" is not a target: no GPU is named after \"::\"", printable(whole, 100)),
                       "Write NODE::0,1 for two GPUs, or leave \"::\" out.");
  return gpus;
}

// ---- JSON: one error message for every wrong type

[[noreturn]] void wrong_type(std::string_view field, std::string_view expected, const json& value) {
  throw InvalidInput(fmt::format("the field \"{}\" must be {}, not {}", field, expected, value.type_name()));
}

// The field, or null when it is absent or null: then the default stays.
const json* find_field(const json& object, const char* field) {
  const auto it = object.find(field);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// NUL can be in JSON but not in an argument, a variable or a path.
std::string as_text(const json& value, std::string_view field) {
  if (!value.is_string()) wrong_type(field, "a string", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) throw InvalidInput(fmt::format("the field \"{}\" contains a NUL character", field));
  return text;
}

template <typename Integer>
Integer as_integer(const json& value, std::string_view field, Integer low) {
  const auto out_of_range = [&] {
    return InvalidInput(fmt::format("the field \"{}\" is out of range: {} (least {})", field, value.dump(), low));
  };
  if (!value.is_number_integer()) wrong_type(field, "a whole number", value);
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())) throw out_of_range();
    if (static_cast<Integer>(number) < low) throw out_of_range();
    return static_cast<Integer>(number);
  }
  const auto number = value.get<std::int64_t>();  // negative
  if (std::is_unsigned_v<Integer> || number < static_cast<std::int64_t>(low)) throw out_of_range();
  return static_cast<Integer>(number);
}

void read(const json& object, const char* field, std::string& out) {
  if (const json* value = find_field(object, field)) out = as_text(*value, field);
}
void read(const json& object, const char* field, bool& out) {
  const json* value = find_field(object, field);
  if (!value) return;
  if (!value->is_boolean()) wrong_type(field, "true or false", *value);
  out = value->get<bool>();
}
template <typename Integer>
void read(const json& object, const char* field, Integer& out, Integer low) {
  if (const json* value = find_field(object, field)) out = as_integer<Integer>(*value, field, low);
}
template <typename Item, typename Convert>
void read(const json& object, const char* field, std::vector<Item>& out, Convert convert) {
  const json* value = find_field(object, field);
  if (!value) return;
  if (!value->is_array()) wrong_type(field, "a list", *value);
  out.clear();
  for (size_t i = 0; i < value->size(); ++i) out.push_back(convert((*value)[i], fmt::format("{}[{}]", field, i)));
}

void require(const json& object, std::initializer_list<const char*> fields, std::string_view what) {
  if (!object.is_object()) throw InvalidInput(fmt::format("{} must be a JSON object, not {}", what, object.type_name()));
  for (const char* field : fields)
    if (!find_field(object, field)) throw InvalidInput(fmt::format("{} lacks the field \"{}\"", what, field));
}

TaskId read_id(const json& object) {
  const json& value = object.at("id");
  if (value.is_string()) return TaskId::parse(value.get_ref<const std::string&>());
  if (value.is_number_integer()) return TaskId::parse(value.dump());
  wrong_type("id", "a task id", value);
}

std::map<std::string, std::string> as_environment(const json& value) {
  if (!value.is_object()) wrong_type("env", "an object", value);
  std::map<std::string, std::string> env;
  for (const auto& [name, text] : value.items()) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos)
      throw InvalidInput(fmt::format("the field \"env\" has a variable with the impossible name \"{}\"", printable(name, 60)));
    env[name] = as_text(text, "env." + printable(name, 60));
  }
  return env;
}

}  // namespace

Target Target::parse(std::string_view text) {
  const size_t gpu_mark = text.find("::");
  const std::string_view place = text.substr(0, gpu_mark);
  const size_t colon = place.find(':');
  std::optional<int> numa;
  if (colon != std::string_view::npos) numa = parse_index(text, place.substr(colon + 1), "NUMA node");
  std::vector<int> gpus;
  if (gpu_mark != std::string_view::npos) gpus = parse_gpus(text, text.substr(gpu_mark + 2));
  return Target{NodeName::parse(place.substr(0, colon)), numa, std::move(gpus)};
}

std::string Target::str() const {
  std::string text = node.str();
  if (numa) text += fmt::format(":{}", *numa);
  if (!gpus.empty()) text += fmt::format("::{}", fmt::join(gpus, ","));
  return text;
}

MountSpec MountSpec::parse(std::string_view text) {
  const auto invalid = [&](std::string_view why) {
    return InvalidInput(fmt::format("\"{}\" is not a mount: {}", printable(text, 200), why),
                        "Write HOST_PATH:CONTAINER_PATH or HOST_PATH:CONTAINER_PATH:ro with absolute paths.");
  };
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3) throw invalid("it must have two paths and at most one option");
  if (text.find('\0') != std::string_view::npos) throw invalid("it contains a NUL character");
  if (!parts[0].starts_with('/')) throw invalid("the host path is not absolute");
  if (!parts[1].starts_with('/')) throw invalid("the container path is not absolute");
  if (parts[1].find_first_not_of('/') == std::string::npos) throw invalid("the container path is the root folder");
  const bool read_only = parts.size() == 3 && parts[2] == "ro";
  if (parts.size() == 3 && !read_only && parts[2] != "rw")
    throw invalid(fmt::format("the option \"{}\" is neither ro nor rw", printable(parts[2], 20)));
  return MountSpec{parts[0], parts[1], read_only};
}

std::string MountSpec::str() const { return source + ":" + target + (read_only ? ":ro" : ""); }

std::string parse_stop_signal(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return InvalidInput(fmt::format("\"{}\" {}", printable(text, 40), why), "Write a name such as TERM, INT or USR1.");
  };
  std::string name(trim(text));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (name.starts_with("RTMIN+") || name.starts_with("RTMAX-")) {
    const auto offset = parse_u64(std::string_view(name).substr(6));
    if (!offset || *offset > 30) throw refuse("is not the name of a signal");
    return fmt::format("SIG{}{}", name.substr(0, 6), *offset);
  }
  const auto number = parse_u64(name);
  for (int signal = 1; signal < 32; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (!known || (name != known && number != static_cast<unsigned>(signal))) continue;
    if (signal == SIGSTOP || signal == SIGCONT) throw refuse("ends no process");
    return fmt::format("SIG{}", known);
  }
  throw refuse("is not the name of a signal");
}

int signal_number(std::string_view name) {
  if (name.starts_with("SIGRTMIN+")) return SIGRTMIN + static_cast<int>(parse_u64(name.substr(9)).value_or(0));
  if (name.starts_with("SIGRTMAX-")) return SIGRTMAX - static_cast<int>(parse_u64(name.substr(9)).value_or(0));
  for (int signal = 1; signal < 32; ++signal)
    if (const char* known = sigabbrev_np(signal); known && name.starts_with("SIG") && name.substr(3) == known) return signal;
  throw InvalidInput(fmt::format("\"{}\" is not the name of a signal", printable(name, 40)));
}

void to_json(json& j, const TaskSpec& spec) {
  json mounts = json::array(), after = json::array();
  for (const TaskId id : spec.after) after.push_back(id.str());
  for (const MountSpec& mount : spec.mounts) mounts.push_back(mount.str());
  j = json{{"id", spec.id.str()},
           {"attempt", spec.attempt},
           {"epoch", spec.epoch},
           {"claim", spec.claim},
           {"name", spec.name},
           {"command", spec.command},
           {"arguments", spec.arguments},
           {"env", spec.env},
           {"cores", spec.cores},
           {"exclusive", spec.exclusive},
           {"cpus", spec.cpus},
           {"memory_bytes", spec.memory_bytes},
           {"numa", spec.numa ? json(*spec.numa) : json()},
           {"gpus", spec.gpus},
           {"gpu_count", spec.gpu_count},
           {"after", std::move(after)},
           {"priority", spec.priority},
           {"retries", spec.retries},
           {"time_limit_s", spec.time_limit.count()},
           {"lease_s", spec.lease.count()},
           {"stop_signal", spec.stop_signal},
           {"stop_grace_s", spec.stop_grace.count()},
           {"registry_image", spec.registry_image},
           {"environment", spec.environment},
           {"tarball", spec.tarball},
           {"exact", spec.exact},
           {"privileged", spec.privileged},
           {"mounts", std::move(mounts)},
           {"mount_roots", spec.mount_roots},
           {"working_dir", spec.working_dir},
           {"stdout_file", spec.stdout_file},
           {"stderr_file", spec.stderr_file},
           {"max_output_bytes", spec.max_output_bytes}};
  if (spec.vps) {
    j["vps"] = {{"made", spec.vps->made}, {"ssh", to_string(spec.vps->ssh)}, {"ssh_public_keys", spec.vps->ssh_public_keys}, {"fresh", spec.vps->fresh}, {"discard", spec.vps->discard}};
    if (spec.vps->from_snapshot) j["vps"]["from_snapshot"] = *spec.vps->from_snapshot;
  }
}

void from_json(const json& j, TaskSpec& spec) {
  require(j, {"id", "command"}, "a task");
  spec = TaskSpec{};
  spec.id = read_id(j);
  read<int>(j, "attempt", spec.attempt, 1);
  read<std::int64_t>(j, "epoch", spec.epoch, 0);
  read(j, "claim", spec.claim);
  read(j, "name", spec.name);
  read(j, "command", spec.command);
  read(j, "arguments", spec.arguments, as_text);
  if (const json* env = find_field(j, "env")) spec.env = as_environment(*env);
  read<int>(j, "cores", spec.cores, 0);
  read(j, "exclusive", spec.exclusive);
  read(j, "cpus", spec.cpus, [](const json& value, const std::string& field) { return as_integer<int>(value, field, 0); });
  read<std::uint64_t>(j, "memory_bytes", spec.memory_bytes, 0);
  if (const json* numa = find_field(j, "numa")) spec.numa = as_integer<int>(*numa, "numa", 0);
  read(j, "gpus", spec.gpus, [](const json& value, const std::string& field) { return as_integer<int>(value, field, 0); });
  read<int>(j, "gpu_count", spec.gpu_count, 0);
  read(j, "after", spec.after, [](const json& value, const std::string& field) { return TaskId::parse(as_text(value, field)); });
  read<int>(j, "priority", spec.priority, std::numeric_limits<int>::min());
  read<int>(j, "retries", spec.retries, 0);
  std::int64_t seconds = 0;
  read<std::int64_t>(j, "time_limit_s", seconds, 0);
  spec.time_limit = std::chrono::seconds(seconds);
  std::int64_t lease = 0;
  read<std::int64_t>(j, "lease_s", lease, 0);
  spec.lease = std::chrono::seconds(lease);
  if (const json* signal = find_field(j, "stop_signal")) spec.stop_signal = parse_stop_signal(as_text(*signal, "stop_signal"));
  std::int64_t grace = spec.stop_grace.count();
  read<std::int64_t>(j, "stop_grace_s", grace, 0);
  spec.stop_grace = std::min(std::chrono::seconds(grace), kMaxStopGrace);
  read(j, "registry_image", spec.registry_image);
  read(j, "environment", spec.environment);
  read(j, "tarball", spec.tarball);
  read(j, "exact", spec.exact);
  read(j, "privileged", spec.privileged);
  read(j, "mounts", spec.mounts, [](const json& value, const std::string& field) { return MountSpec::parse(as_text(value, field)); });
  read(j, "mount_roots", spec.mount_roots, as_text);
  read(j, "working_dir", spec.working_dir);
  read(j, "stdout_file", spec.stdout_file);
  read(j, "stderr_file", spec.stderr_file);
  read<std::uint64_t>(j, "max_output_bytes", spec.max_output_bytes, 0);
  if (const json* vps = find_field(j, "vps")) {
    require(*vps, {}, "a VPS");
    read(*vps, "made", spec.vps.emplace().made);
    std::string mode;
    read(*vps, "ssh", mode);
    if (!mode.empty()) spec.vps->ssh = parse_ssh_mode(mode);
    read(*vps, "ssh_public_keys", spec.vps->ssh_public_keys);
    read(*vps, "fresh", spec.vps->fresh);
    read(*vps, "discard", spec.vps->discard);
    if (const json* snapshot = find_field(*vps, "from_snapshot")) spec.vps->from_snapshot = as_integer<std::int64_t>(*snapshot, "from_snapshot", 0);
  }
}

namespace {

constexpr std::string_view kSshModes[] = {"disabled", "upload", "generate", "none"};  // in the order of VpsSpec::Ssh

}  // namespace

std::string_view to_string(VpsSpec::Ssh mode) { return kSshModes[static_cast<size_t>(mode)]; }

VpsSpec::Ssh parse_ssh_mode(std::string_view text) {
  const auto found = std::find(std::begin(kSshModes), std::end(kSshModes), text);
  if (found == std::end(kSshModes)) throw InvalidInput("'" + printable(std::string(text), 60) + "' is no mode of SSH", "It is one of disabled, upload, generate, none.");
  return static_cast<VpsSpec::Ssh>(found - std::begin(kSshModes));
}

std::vector<std::string> task_argv(const TaskSpec& spec) {
  constexpr std::string_view kShellCharacters = " \t\r\n|&;<>()$`\\\"'*?[]{}~#";
  if (spec.arguments.empty() && spec.command.find_first_of(kShellCharacters) != std::string::npos)
    return {"/bin/sh", "-c", spec.command};
  std::vector<std::string> argv{spec.command};
  argv.insert(argv.end(), spec.arguments.begin(), spec.arguments.end());
  return argv;
}

void to_json(json& j, const TaskReport& report) {
  j = json{{"id", report.id.str()},
           {"attempt", report.attempt},
           {"epoch", report.epoch},
           {"state", to_string(report.state)},
           {"exit_code", report.exit_code ? json(*report.exit_code) : json()},
           {"message", valid_utf8(report.message)},  // may quote the output of a program
           {"timed_out", report.timed_out},
           {"started_at", report.started_at},
           {"completed_at", report.completed_at},
           {"image_id", report.image_id},
           {"tarball", report.tarball}};
}

void from_json(const json& j, TaskReport& report) {
  require(j, {"id", "attempt", "epoch", "state"}, "a task report");
  report = TaskReport{};
  report.id = read_id(j);
  read<int>(j, "attempt", report.attempt, 1);
  read<std::int64_t>(j, "epoch", report.epoch, 0);
  report.state = parse_task_state(as_text(j.at("state"), "state"));
  if (const json* code = find_field(j, "exit_code"))
    report.exit_code = as_integer<int>(*code, "exit_code", std::numeric_limits<int>::min());
  if (const json* message = find_field(j, "message")) {  // may quote anything, NUL included
    if (!message->is_string()) wrong_type("message", "a string", *message);
    report.message = message->get<std::string>();
  }
  read(j, "timed_out", report.timed_out);
  read(j, "started_at", report.started_at);
  read(j, "completed_at", report.completed_at);
  read(j, "image_id", report.image_id);
  read(j, "tarball", report.tarball);
}

}  // namespace riverbox
