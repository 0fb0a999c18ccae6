#include "store/task_rows.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox::store {

const std::string_view kTaskColumns =
    "spec, attempt, epoch, batch_id, node, state, exit_code, message, image_id, submitted_at, started_at, completed_at, tarball, placement, target, fingerprint, owner";

namespace {

TaskSpec parse_spec(const std::string& text) {
  try {
    return nlohmann::json::parse(text).get<TaskSpec>();
  } catch (const nlohmann::json::exception& error) {
    throw BadData(fmt::format("a task in the database cannot be read: {}", error.what()));
  }
}

}  // namespace

std::string as_text(const TaskSpec& spec) { return nlohmann::json(spec).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

std::string searched_text(const TaskSpec& spec) {
  constexpr size_t kMostOfArguments = 4096;  // a script may be one of them, and every search reads all texts
  std::string arguments;
  for (const auto& argument : spec.arguments) arguments += " " + argument;
  if (arguments.size() > kMostOfArguments) arguments.resize(complete_utf8_prefix(std::string_view(arguments).substr(0, kMostOfArguments)));
  return valid_utf8(spec.name + "\n" + spec.command + arguments);
}

TaskRecord task_of(const Statement& row) {
  TaskRecord task{.spec = parse_spec(row.text(0))};
  task.spec.attempt = static_cast<int>(row.integer(1));
  task.spec.epoch = row.integer(2);
  task.batch_id = row.text(3);
  task.node = row.text(4);
  task.state = parse_task_state(row.text(5));
  if (!row.is_null(6)) task.exit_code = static_cast<int>(row.integer(6));
  task.message = row.text(7);
  task.image_id = row.text(8);
  task.submitted_at = row.text(9);
  task.started_at = row.text(10);
  task.completed_at = row.text(11);
  task.tarball = row.text(12);
  task.placement = row.text(13);
  task.target = row.text(14);
  task.fingerprint = row.text(15);
  task.owner = row.text(16);
  return task;
}

std::vector<TaskRecord> tasks_of(Statement& rows) {
  std::vector<TaskRecord> tasks;
  while (rows.step()) tasks.push_back(task_of(rows));
  return tasks;
}

}  // namespace riverbox::store
