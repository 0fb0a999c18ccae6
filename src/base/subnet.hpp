// IPv4 networks as people write them: 172.30.0.0/16.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace riverbox {

struct Subnet {
  std::uint32_t address = 0;  // the lowest one, most significant byte first
  int prefix_bits = 0;        // 0 to 32
  // Throws InvalidInput, also for an address that is not the lowest of its network.
  static Subnet parse(std::string_view text);
  std::uint32_t mask() const { return prefix_bits == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_bits); }
  bool overlaps(const Subnet& other) const;
  std::string str() const;
  bool operator==(const Subnet&) const = default;
};

}  // namespace riverbox
