// GET /openapi.json: the tables of routes, as other programs read them.
#include "api/handlers.hpp"
#include "api/shapes.hpp"
#include "api/sockets.hpp"
#include "base/strings.hpp"
#include "config.h"

namespace riverbox::api {
namespace {

Json parameters_shape(const char* pattern) {
  Json out = Json::array();
  for (const auto& segment : split(pattern, '/'))
    if (segment.starts_with('{')) out.push_back({{"name", segment.substr(1, segment.size() - 2)}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  return out;
}

Json operation(const char* summary, const char* pattern, Access access) {
  Json out{{"summary", summary}, {"x-role", to_string(access)}};
  if (auto parameters = parameters_shape(pattern); !parameters.empty()) out["parameters"] = std::move(parameters);
  out["security"] = access == Access::open ? Json::array() : Json::array({Json{{"token", Json::array()}}});
  if (access != Access::open) {
    out["responses"]["401"] = {{"description", "no token, or none that is known"}};
    out["responses"]["403"] = {{"description", "the role is not enough"}};
  }
  out["responses"]["default"] = {{"description", "docs/api.md; every refusal is {\"detail\": text}"}};
  return out;
}

Json document() {
  Json paths = Json::object();
  for (const auto& route : routes()) {
    const bool registry = std::string_view(route.pattern).starts_with("/v2/");  // where pullers look for it
    paths[(registry ? "" : "/api") + std::string(route.pattern)][to_lower(route.method)] = operation(route.summary, route.pattern, route.access);
  }
  for (const auto& route : socket_routes()) {
    paths[route.pattern]["get"] = operation(route.summary, route.pattern, route.access);
    paths[route.pattern]["get"]["x-websocket"] = true;
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "riverbox"}, {"version", RIVERBOX_VERSION}, {"description", "x-role is the least role that may call an operation."}}},
          {"components", {{"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
          {"paths", std::move(paths)}};
}

}  // namespace

void openapi(CallPtr call) {
  static const Json text = document();
  call->reply(text);
}

}  // namespace riverbox::api
