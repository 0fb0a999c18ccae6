// The history of tasks out of the database of classic HakuRiver (SQLite through peewee, table "task").
#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "store/host_store.hpp"

namespace riverbox::store {

struct ClassicImport {
  size_t added = 0;
  size_t lost = 0;    // of these: they were unfinished, and nobody can tell what became of them
  size_t known = 0;   // were there already
  size_t old = 0;     // ended too long ago and were left out
  size_t vps = 0;     // are no tasks and were left out
  std::vector<std::string> problems;  // one for each row that cannot be read: which and why
};

// Reads `file` and changes nothing in it; a second import of the same tasks adds nothing. What ended before `ended_since` (RFC 3339; empty: ever) would only be removed again
// and is left out. Blocking. Throws NotFound, BadData when it is no such database.
ClassicImport import_classic(const std::filesystem::path& file, TaskRepository& into, const std::string& ended_since = {});

}  // namespace riverbox::store
