#include "os/routes.hpp"

#include <arpa/inet.h>

#include <bit>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace riverbox::os {
namespace {

// Eight hexadecimal digits of a number in the order of the network, printed as one of this machine's.
std::optional<std::uint32_t> address_of(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return ntohl(number);
}

}  // namespace

std::vector<Route> parse_routes(std::string_view table) {
  std::vector<Route> found;
  std::istringstream lines{std::string(table)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
    const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
    if (fields.size() < 8) continue;
    const auto to = address_of(fields[1]), mask = address_of(fields[7]);
    if (!to || !mask || *mask == 0) continue;
    found.push_back({{*to & *mask, std::popcount(*mask)}, fields[0]});
  }
  return found;
}

std::vector<Route> routes() {
  std::ifstream file("/proc/net/route");
  return parse_routes(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace riverbox::os
