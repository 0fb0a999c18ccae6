// Tasks as rows, for the files of this folder.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "store/host_store.hpp"

namespace riverbox::store {

// What task_of() reads, in its order.
extern const std::string_view kTaskColumns;

// Ids and sizes are unsigned 64-bit, SQLite's integers signed: the bits are kept.
inline std::int64_t stored(std::uint64_t value) { return static_cast<std::int64_t>(value); }
inline std::int64_t stored(TaskId id) { return static_cast<std::int64_t>(id.value()); }

// A command may hold bytes that are not UTF-8; they must not make the whole batch fail.
std::string as_text(const TaskSpec& spec);
// What TaskQuery::text is looked for in, beside the id: of arguments that are long only the beginning.
std::string searched_text(const TaskSpec& spec);

// What TaskRepository::list prepares for the query; its parameters are told in task_list.cpp.
std::string list_statement(const TaskQuery& query);

// Throw BadData for a row that cannot be read.
TaskRecord task_of(const Statement& row);
std::vector<TaskRecord> tasks_of(Statement& rows);

}  // namespace riverbox::store
