// The IPv4 networks that this machine reaches by a route of their own: the default route is none of them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/subnet.hpp"

namespace riverbox::os {

struct Route {
  Subnet to;
  std::string interface;
};
// Empty where the kernel does not tell.
std::vector<Route> routes();
// The parser of /proc/net/route; lines that make no sense are left out. Pure.
std::vector<Route> parse_routes(std::string_view table);

}  // namespace riverbox::os
