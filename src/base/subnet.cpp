#include "base/subnet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

std::optional<std::uint32_t> address_of(std::string_view text) {
  const auto parts = split(text, '.');
  if (parts.size() != 4) return std::nullopt;
  std::uint32_t address = 0;
  for (const std::string& part : parts) {
    const auto number = parse_u64(part);
    if (!number || *number > 255 || part.size() > 3) return std::nullopt;
    address = address << 8 | static_cast<std::uint32_t>(*number);
  }
  return address;
}

}  // namespace

Subnet Subnet::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = address_of(text.substr(0, slash));
  const auto bits = slash == text.npos ? std::nullopt : parse_u64(text.substr(slash + 1));
  if (!address || !bits || *bits > 32) throw InvalidInput(fmt::format("\"{}\" is no IPv4 network", printable(text, 100)), "Write it as 172.30.0.0/16.");
  Subnet subnet{*address, static_cast<int>(*bits)};
  subnet.address &= subnet.mask();
  if (subnet.address != *address)
    throw InvalidInput(fmt::format("\"{}\" is an address inside of the network {}", printable(text, 100), subnet.str()), "Write the network itself.");
  return subnet;
}

bool Subnet::overlaps(const Subnet& other) const {
  const std::uint32_t common = mask() & other.mask();
  return (address & common) == (other.address & common);
}

std::string Subnet::str() const {
  return fmt::format("{}.{}.{}.{}/{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255, prefix_bits);
}

}  // namespace riverbox
