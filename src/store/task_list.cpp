// Lists of tasks, and how many there are. A list is asked for by everybody with a page open, and there may be a hundred thousand tasks: what leads to the first so many must
// not read the others.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "store/task_rows.hpp"

namespace riverbox::store {
namespace {

// The parameters: ?1 states (",failed,lost,"), ?2 before, ?3 owner, ?4 node, ?5 environment, ?6 pattern of the text, ?7 of the id, ?8 limit, ?9 offset. Those that a statement
// does not speak of are bound for nothing; so there are few statements, which stay prepared.
std::string filters(const TaskQuery& query) {
  std::string out = " AND NOT EXISTS (SELECT 1 FROM vpses AS v WHERE v.id = t.id)";
  if (query.before) out += " AND t.id < ?2";
  if (query.owner) out += " AND t.owner = ?3";
  if (query.node) out += " AND t.node = ?4";
  if (query.environment) out += " AND t.environment = ?5";
  return out;
}

std::string fits_text(const TaskQuery& query) {
  const bool may_begin_an_id = query.text.find_first_not_of("0123456789") == std::string::npos;
  return fmt::format("(x.text LIKE ?6 ESCAPE '\\'{})", may_begin_an_id ? " OR CAST(x.id AS TEXT) LIKE ?7" : "");
}

// Of each state a run, which an index has by id; SQLite merges them until there are enough. Texts are looked at of those that the index leads to (CROSS JOIN: in this order).
std::string merged_runs(const TaskQuery& query) {
  const std::string texts = query.text.empty() ? "" : " CROSS JOIN task_texts AS x ON x.id = t.id", fits = query.text.empty() ? "" : " AND " + fits_text(query);
  std::string out;
  for (const TaskState state : all_states())
    out += fmt::format("{0}SELECT t.id AS id FROM tasks AS t{2} WHERE t.state = '{1}' AND instr(?1, ',{1},'){3}{4}", out.empty() ? "" : " UNION ALL ", to_string(state), texts, filters(query), fits);
  return out;
}

std::string selection(const TaskQuery& query) {
  if (!query.states.empty() || query.owner || query.node || query.environment) return merged_runs(query);
  if (query.text.empty()) return "SELECT t.id AS id FROM tasks AS t WHERE true" + filters(query);
  return "SELECT x.id AS id FROM task_texts AS x WHERE " + fits_text(query) + " AND NOT EXISTS (SELECT 1 FROM vpses AS v WHERE v.id = x.id)" + (query.before ? " AND x.id < ?2" : "");
}

std::string states_parameter(const TaskQuery& query) {
  std::string out = ",";
  for (const TaskState state : query.states.empty() ? all_states() : query.states) out += std::string(to_string(state)) + ",";
  return out;
}

// The text itself, wherever it stands.
std::string pattern_of(const std::string& text) {
  std::string out = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out + "%";
}

}  // namespace

std::string list_statement(const TaskQuery& query) {
  return fmt::format("SELECT {} FROM tasks WHERE id IN ({} ORDER BY id DESC LIMIT ?8 OFFSET ?9) ORDER BY id DESC", kTaskColumns, selection(query));
}

std::vector<TaskRecord> TaskRepository::list(const TaskQuery& query) {
  std::vector<TaskRecord> tasks;
  db_.read([&](Database::Connection& connection) {
    Statement rows = connection.prepare(list_statement(query));
    rows.bind(states_parameter(query)).bind(query.before ? stored(*query.before) : 0).bind(query.owner).bind(query.node).bind(query.environment);
    rows.bind(pattern_of(query.text)).bind(query.text + "%").bind(query.limit).bind(query.offset);
    tasks = tasks_of(rows);
  });
  return tasks;
}

std::vector<std::pair<TaskState, std::uint64_t>> TaskRepository::count_by_state(const std::optional<std::string>& owner) {
  std::map<TaskState, std::uint64_t> counts;
  for (const TaskState state : all_states()) counts[state] = 0;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare(fmt::format("SELECT state, count(*) FROM tasks WHERE id NOT IN (SELECT id FROM vpses){} GROUP BY state", owner ? " AND owner=?" : ""));
    if (owner) row.bind(*owner);
    while (row.step()) counts[parse_task_state(row.text(0))] = static_cast<std::uint64_t>(row.integer(1));
  });
  return {counts.begin(), counts.end()};
}

}  // namespace riverbox::store
