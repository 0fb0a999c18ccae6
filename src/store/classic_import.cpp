#include "store/classic_import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::store {
namespace {

using nlohmann::json;

constexpr size_t kAtOnce = 500;  // in one transaction, beside a host that runs

// In this order they are selected; a column that an older HakuRiver did not have yet is NULL.
enum Column { task_id, task_type, batch_id, command, arguments, env_vars, required_cores, required_gpus, status, assigned_node_id, stdout_path, stderr_path, exit_code, error_message,
              submitted_at, started_at, completed_at, required_memory_bytes, target_numa_node_id, container_name, docker_image_name, docker_privileged, docker_mount_dirs };
constexpr std::array<std::string_view, 23> kColumns{
    "task_id", "task_type", "batch_id", "command", "arguments", "env_vars", "required_cores", "required_gpus", "status", "assigned_node_id", "stdout_path", "stderr_path", "exit_code",
    "error_message", "submitted_at", "started_at", "completed_at", "required_memory_bytes", "target_numa_node_id", "container_name", "docker_image_name", "docker_privileged",
    "docker_mount_dirs"};

std::string selection(Database::Connection& connection, const std::filesystem::path& file) {
  std::vector<std::string> there;
  Statement columns = connection.prepare("SELECT name FROM pragma_table_info('task')");
  while (columns.step()) there.push_back(columns.text(0));
  const auto has = [&](std::string_view name) { return std::find(there.begin(), there.end(), name) != there.end(); };
  for (const Column needed : {task_id, command, status})
    if (!has(kColumns[needed]))
      throw BadData(fmt::format("{} is no database of HakuRiver: {}", file.string(), there.empty() ? "it has no table \"task\"" : fmt::format("its tasks have no {}", kColumns[needed])),
                    "It is the file that [database] db_file of the old host names.");
  std::string list;
  for (const std::string_view name : kColumns) list += fmt::format("{}{}{}", list.empty() ? "" : ", ", has(name) ? "" : "NULL AS ", name);
  return fmt::format("SELECT {} FROM task ORDER BY task_id", list);
}

// ---- one row. SQLite gives what was written, whatever the column says: every value is parsed.

std::string text_of(const Statement& row, Column column) {
  std::string text = row.text(column);
  if (text.find('\0') != std::string::npos) throw InvalidInput(fmt::format("its {} contains a NUL character", kColumns[column]));
  return valid_utf8(text);
}

template <typename Number>
std::optional<Number> number_of(const Statement& row, Column column, std::int64_t least, std::int64_t most) {
  if (row.is_null(column)) return std::nullopt;
  const std::string text = row.text(column);
  const auto number = parse_i64(text);
  if (!number || *number < least || *number > most) throw InvalidInput(fmt::format("its {} is \"{}\"", kColumns[column], printable(text, 40)));
  return static_cast<Number>(*number);
}

json json_of(const Statement& row, Column column) {
  if (row.is_null(column) || trim(row.text(column)).empty()) return nullptr;
  json value = json::parse(row.text(column), nullptr, false);
  if (value.is_discarded()) throw InvalidInput(fmt::format("its {} is no JSON", kColumns[column]));
  return value;
}

std::vector<std::string> texts_of(const Statement& row, Column column) {
  std::vector<std::string> texts;
  const json list = json_of(row, column);
  if (list.is_null()) return texts;
  if (!list.is_array()) throw InvalidInput(fmt::format("its {} is no list", kColumns[column]));
  for (const json& item : list) texts.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return texts;
}

std::string time_of(const Statement& row, Column column) {
  const std::string text = row.text(column);
  if (text.empty()) return {};
  try {
    return to_rfc3339(parse_local(text));
  } catch (const BadData& error) {
    throw InvalidInput(fmt::format("its {} is no time: {}", kColumns[column], error.fact()));
  }
}

// Where the output lies below the share, wherever that was mounted: "task_outputs/ID.out".
std::string below_the_share(const std::string& path) {
  const std::filesystem::path whole(path);
  const auto file = whole.filename(), folder = whole.parent_path().filename();
  const bool plain = !file.empty() && !folder.empty() && file != "." && file != ".." && folder != "." && folder != ".." && folder != "/";
  return plain && path != "/dev/null" ? (folder / file).string() : std::string();
}

// "hakuriver/my-env:base" is my-env.
std::string environment_of(const Statement& row) {
  if (auto name = text_of(row, container_name); !name.empty()) return name;
  std::string image = text_of(row, docker_image_name);
  image = image.substr(image.find('/') == std::string::npos ? 0 : image.find('/') + 1);
  return image.substr(0, image.find(':'));
}

void read_spec(const Statement& row, TaskSpec& spec) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  spec.command = text_of(row, command);
  spec.arguments = texts_of(row, arguments);
  if (const json variables = json_of(row, env_vars); variables.is_object())
    for (const auto& [name, value] : variables.items()) spec.env[name] = value.is_string() ? value.get<std::string>() : value.dump();
  spec.cores = number_of<int>(row, required_cores, 0, 1'000'000).value_or(0);
  spec.memory_bytes = number_of<std::uint64_t>(row, required_memory_bytes, 0, kMost).value_or(0);
  spec.numa = number_of<int>(row, target_numa_node_id, 0, 4095);
  for (const std::string& gpu : texts_of(row, required_gpus)) {
    const auto number = parse_u64(gpu);
    if (!number || *number > 4095) throw InvalidInput(fmt::format("its required_gpus have \"{}\"", printable(gpu, 40)));
    spec.gpus.push_back(static_cast<int>(*number));
  }
  spec.gpu_count = static_cast<int>(spec.gpus.size());  // run again it gets as many
  spec.environment = environment_of(row);
  spec.privileged = number_of<int>(row, docker_privileged, 0, 1).value_or(0) != 0;
  for (const std::string& mount : texts_of(row, docker_mount_dirs)) spec.mounts.push_back(MountSpec::parse(mount));
  spec.stdout_file = below_the_share(text_of(row, stdout_path));
  spec.stderr_file = below_the_share(text_of(row, stderr_path));
}

TaskRecord task_of_row(const Statement& row) {
  TaskRecord task;
  task.spec.id = TaskId::parse(row.text(task_id));
  read_spec(row, task.spec);
  task.batch_id = row.is_null(batch_id) ? task.spec.id.str() : text_of(row, batch_id);
  task.node = text_of(row, assigned_node_id);
  task.state = parse_task_state(row.text(status));
  task.exit_code = number_of<int>(row, exit_code, std::numeric_limits<int>::min(), std::numeric_limits<int>::max());
  task.message = text_of(row, error_message);
  task.submitted_at = time_of(row, submitted_at);
  task.started_at = time_of(row, started_at);
  task.completed_at = time_of(row, completed_at);
  if (task.submitted_at.empty())  // the id tells it, too: milliseconds above 22 bits
    task.submitted_at = to_rfc3339(WallTime(std::chrono::milliseconds(task.spec.id.value() >> 22)));
  return task;
}

// What it did when HakuRiver was left is not known; nothing of it runs under our control.
bool give_up_if_unfinished(TaskRecord& task) {
  const bool unfinished = !is_final(task.state);
  if (unfinished) {
    task.message = fmt::format("It was {} when it was imported from HakuRiver.", to_string(task.state));
    task.state = TaskState::lost;
  }
  if (task.completed_at.empty()) task.completed_at = task.started_at.empty() ? task.submitted_at : task.started_at;
  return unfinished;
}

// Adds in portions.
class Importer {
public:
  Importer(TaskRepository& into, const std::string& ended_since) : into_(into), ended_since_(ended_since) {}

  void take(const Statement& row) {
    if (row.text(task_type) == "vps") {
      ++result_.vps;
      return;
    }
    try {
      TaskRecord task = task_of_row(row);
      const bool unfinished = give_up_if_unfinished(task);
      if (task.completed_at < ended_since_) {
        ++result_.old;
        return;
      }
      if (unfinished) unfinished_.push_back(task.spec.id);
      waiting_.push_back(std::move(task));
    } catch (const Error& error) {
      result_.problems.push_back(fmt::format("task {}: {}", printable(row.text(task_id), 40), error.fact()));
    }
    if (waiting_.size() == kAtOnce) add();
  }

  ClassicImport finish() {
    add();
    return std::move(result_);
  }

private:
  void add() {
    const auto added = into_.add_missing(waiting_);
    result_.added += added.size();
    result_.known += waiting_.size() - added.size();
    for (const TaskId id : unfinished_) result_.lost += static_cast<size_t>(std::count(added.begin(), added.end(), id));
    waiting_.clear();
    unfinished_.clear();
  }

  TaskRepository& into_;
  const std::string ended_since_;
  ClassicImport result_;
  std::vector<TaskRecord> waiting_;
  std::vector<TaskId> unfinished_;
};

}  // namespace

ClassicImport import_classic(const std::filesystem::path& file, TaskRepository& into, const std::string& ended_since) {
  Importer importer(into, ended_since);
  read_foreign(file, [&](Database::Connection& connection) {
    Statement row = connection.prepare(selection(connection, file));
    while (row.step()) importer.take(row);
  });
  return importer.finish();
}

}  // namespace riverbox::store
