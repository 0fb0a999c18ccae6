#include <fmt/format.h>

#include <ctime>

#include "base/strings.hpp"
#include "net/http_connection.hpp"

namespace riverbox::net {
namespace {

// A header with a line break would let a value from outside write headers of its own.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return line;
}

// "Sun, 22 Nov 2026 00:36:05 GMT", made once a second. A plain array: it must outlive the thread's destructors, which may still answer.
std::string_view http_date() {
  thread_local std::time_t made_for = 0;
  thread_local char text[32] = {};
  const std::time_t now = std::time(nullptr);
  if (now != made_for) {
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm utc{};
    gmtime_r(&now, &utc);
    *fmt::format_to_n(text, sizeof text - 1, "{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                      kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec).out = '\0';
    made_for = now;
  }
  return text;
}

// Those of the framing are the server's own business.
bool is_framing(std::string_view name) {
  const std::string lower = to_lower(name);
  return lower == "content-length" || lower == "transfer-encoding" || lower == "connection" || lower == "content-type";
}

}  // namespace

std::string format_head(const Response& response, std::optional<std::uint64_t> length, bool keep_alive, bool http_1_0) {
  const bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
  std::string head;
  head.reserve(256);
  auto out = std::back_inserter(head);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nServer: riverbox\r\nDate: {}\r\n", response.status, reason_phrase(response.status), http_date());
  if (!bodiless) {
    if (!response.content_type.empty()) fmt::format_to(out, "Content-Type: {}\r\n", one_line(response.content_type));
    if (length)
      fmt::format_to(out, "Content-Length: {}\r\n", *length);
    else if (!http_1_0)
      head += "Transfer-Encoding: chunked\r\n";
  }
  head += "X-Content-Type-Options: nosniff\r\n";  // what a task has printed is no page
  for (const auto& [name, value] : response.headers)
    if (!is_framing(name)) fmt::format_to(out, "{}: {}\r\n", one_line(name), one_line(value));
  if (!keep_alive)
    head += "Connection: close\r\n";
  else if (http_1_0)
    head += "Connection: keep-alive\r\n";
  head += "\r\n";
  return head;
}

std::string format_answer_head(const Response& response, const Exchange& exchange) {
  return format_head(response, response.body.size(), exchange.keep_alive, exchange.http_1_0);
}

}  // namespace riverbox::net
