// Lines on stderr: text on a terminal ("12:03:04 INFO  host: listening on ..."), one JSON object per line otherwise.
// Thread-safe; one write(2) per line. Values from outside go through printable() by themselves.
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace riverbox::log {

enum class Level { debug, info, warning, error };

struct Field {
  std::string_view key;
  std::string value;
};

void set_level(Level level);                 // default info; $RIVERBOX_LOG=debug|info|warning|error at first use
bool enabled(Level level);                   // whether such a line is written: before what is costly to make
void write(Level level, std::string_view component, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::debug, c, m, f); }
inline void info(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::info, c, m, f); }
inline void warning(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::warning, c, m, f); }
inline void error(std::string_view c, std::string_view m, std::initializer_list<Field> f = {}) { write(Level::error, c, m, f); }

// What a thread is busy with: the request, the task, the environment. Every line that it writes tells so, after the line's own fields; what is named twice is told once,
// the innermost first. Work that goes to an os::WorkerPool takes the context of who hands it over along; other threads are given it with a Scope.
struct Fact;
using Context = std::shared_ptr<const Fact>;
Context context();  // of this thread

class Scope {
public:
  Scope(std::string_view key, std::string value);  // a fact more, until the end of the block. `key` is a literal
  explicit Scope(Context context);                 // another thread's context, instead of the own one
  ~Scope();
  Scope(Scope&&) = delete;

private:
  Context before_;
};

}  // namespace riverbox::log
