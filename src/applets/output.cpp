#include "applets/output.hpp"

#include <cerrno>
#include <cstdlib>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "applets/exit_codes.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "os/tty.hpp"

namespace riverbox::applets {

namespace {
// 0 or the errno that stopped it. A non-blocking descriptor (a shared terminal may be one) is waited for.
int write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

const char* escape_of(Colour colour) {
  switch (colour) {
    case Colour::green: return "\033[32m";
    case Colour::yellow: return "\033[33m";
    case Colour::red: return "\033[31m";
    case Colour::grey: return "\033[90m";
    case Colour::none: break;
  }
  return "";
}
}  // namespace

void write_out(std::string_view text) {
  const int error = write_whole(STDOUT_FILENO, text);
  if (error == EPIPE) throw BrokenPipe{};
  if (error != 0) throw IoError("write to standard output", error);
}

void write_err(std::string_view text) { write_whole(STDERR_FILENO, text); }

bool stdout_is_terminal() { return os::is_tty(STDOUT_FILENO); }
bool stderr_is_terminal() { return os::is_tty(STDERR_FILENO); }

bool stdout_has_colours() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return stdout_is_terminal() && !(no_colour && *no_colour) && term && *term && std::string_view(term) != "dumb";
}

std::string json_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json with_key_order(Json value, const std::vector<std::string>& keys) {
  if (!value.is_object()) return value;
  auto member = value.begin();  // a host of today sends them in this order
  if (std::all_of(keys.begin(), keys.end(), [&](const std::string& key) { return member != value.end() && (member++).key() == key; })) return value;
  Json ordered = Json::object();
  for (const std::string& key : keys)
    if (value.contains(key)) ordered[key] = std::move(value[key]);
  for (const auto& [key, member] : value.items())
    if (!ordered.contains(key)) ordered[key] = member;
  return ordered;
}

std::string text_of(const Json& object, std::string_view key, std::string_view fallback) {
  if (!object.is_object()) return std::string(fallback);
  const auto member = object.find(std::string(key));
  if (member == object.end() || member->is_null()) return std::string(fallback);
  if (member->is_string()) return member->get<std::string>();
  return member->dump(-1, ' ', false, Json::error_handler_t::replace);
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

Table::Table(std::vector<std::string> header) : right_(header.size(), false) {
  std::vector<Cell> cells;
  for (std::string& title : header) cells.emplace_back(std::move(title), Colour::grey);
  rows_.push_back(std::move(cells));
}

void Table::add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = printable(cell.text);
  row.resize(right_.size(), Cell(""));
  rows_.push_back(std::move(row));
}

void Table::align_right(size_t column) { right_.at(column) = true; }

std::string Table::render(bool colours) const {
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i].text));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i].text), ' ');
      const bool coloured = colours && row[i].colour != Colour::none && !row[i].text.empty();
      const std::string text = coloured ? escape_of(row[i].colour) + row[i].text + "\033[0m" : row[i].text;
      if (i > 0) line += "  ";
      line += right_[i] ? padding + text : text + (i + 1 < row.size() ? padding : "");
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

}  // namespace riverbox::applets
