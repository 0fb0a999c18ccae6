// stdout is data, stderr is for people. Every byte of stdout goes through write_out(), so that a full disk or a reader that
// went away is noticed.
#pragma once
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::applets {

using Json = nlohmann::ordered_json;

// Whole text to stdout. Throws BrokenPipe, IoError.
void write_out(std::string_view text);
// Whole text to stderr; failures are ignored, there is nobody to tell.
void write_err(std::string_view text);

bool stdout_is_terminal();
bool stderr_is_terminal();
// A terminal that understands colours, and $NO_COLOR is not set.
bool stdout_has_colours();

// Two-space indent, a newline at the end, invalid UTF-8 replaced.
std::string json_text(const Json& value);
// `value` with the named keys first, in that order, then the others as they came. Not an object: unchanged.
Json with_key_order(Json value, const std::vector<std::string>& keys);
// A member as text for people: a string as it is, null and missing as `fallback`, anything else as JSON.
std::string text_of(const Json& object, std::string_view key, std::string_view fallback = "-");

enum class Colour { none, green, yellow, red, grey };

// An aligned table. Cells are made printable; columns are two blanks apart; the last one is not padded.
class Table {
public:
  struct Cell {
    std::string text;
    Colour colour = Colour::none;
    Cell(std::string t, Colour c = Colour::none) : text(std::move(t)), colour(c) {}
    Cell(const char* t) : text(t) {}
  };
  explicit Table(std::vector<std::string> header);
  void add(std::vector<Cell> row);
  // Numbers look better with their last digits in one column.
  void align_right(size_t column);
  std::string render(bool colours) const;

private:
  std::vector<std::vector<Cell>> rows_;  // the header first
  std::vector<bool> right_;
};

// Columns a text takes on a terminal: code points, which is right for what we print in tables.
size_t display_width(std::string_view text);

}  // namespace riverbox::applets
