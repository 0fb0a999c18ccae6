// Lines on stderr: text on a terminal ("12:03:04 INFO  host: listening on ..."), one JSON object per line otherwise.
// Thread-safe; one write(2) per line. Values from outside go through printable() by themselves.
#pragma once
#include <initializer_list>
#include <string_view>
#include <utility>
#include <string>

namespace riverbox::log {

enum class Level { debug, info, warning, error };

struct Field {
  std::string_view key;
  std::string value;
};

void set_level(Level level);                 // default info; $RIVERBOX_LOG=debug|info|warning|error at first use
void write(Level level, std::string_view component, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::debug, c, m, f); }
inline void info(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::info, c, m, f); }
inline void warning(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::warning, c, m, f); }
inline void error(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::error, c, m, f); }

}  // namespace riverbox::log
