#include "api/route.hpp"

#include "api/services.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

int status_of_kind(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
    case ErrorKind::invalid_input: return 400;
    case ErrorKind::unauthorized: return 401;
    case ErrorKind::forbidden: return 403;
    case ErrorKind::not_found: return 404;
    case ErrorKind::conflict: return 409;
    case ErrorKind::unavailable: return 503;
    case ErrorKind::timeout: return 504;
    case ErrorKind::no_space: return 507;
    case ErrorKind::cancelled: return 499;
    case ErrorKind::bad_data:
    case ErrorKind::config:
    case ErrorKind::io:
    case ErrorKind::internal: return 500;
  }
  return 500;
}

// The patterns in their parts, in the order of the routes.
const std::vector<std::vector<std::string>>& patterns() {
  static const auto all = [] {
    std::vector<std::vector<std::string>> parts;
    for (const auto& route : routes()) parts.push_back(split(route.pattern, '/'));
    return parts;
  }();
  return all;
}

// One path segment against one pattern segment.
bool segment_matches(const std::string& pattern, const std::string& segment, std::map<std::string, std::string>& parameters) {
  if (pattern.size() < 2 || pattern.front() != '{') return pattern == segment;
  auto decoded = percent_decoded(segment);
  if (!decoded || decoded->empty()) return false;
  parameters[pattern.substr(1, pattern.size() - 2)] = *decoded;
  return true;
}

}  // namespace

nlohmann::json Call::body() const {
  if (trim(request.body).empty()) return nlohmann::json::object();
  auto parsed = nlohmann::json::parse(request.body, nullptr, false);
  if (parsed.is_discarded() || !parsed.is_object()) throw InvalidInput("the request body is not a JSON object");
  return parsed;
}

void Call::reply(const nlohmann::ordered_json& body, int status) {
  auto response = json_response(body, status);
  if (draft) services.answers.keep(*draft, response.body);
  responder->send(std::move(response));
}

std::optional<std::map<std::string, std::string>> parameters_of(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  std::map<std::string, std::string> parameters;
  for (size_t i = 0; i < pattern.size(); ++i)
    if (!segment_matches(pattern[i], path[i], parameters)) return std::nullopt;
  return parameters;
}

Match match(std::string_view method, std::string_view path) {
  Match found;
  if (path == "/api" || path.starts_with("/api/")) {
    found.dialect = Dialect::api;
    path.remove_prefix(4);
  }
  auto segments = split(path, '/');
  for (size_t row = 0; row < routes().size(); ++row) {
    const auto& route = routes()[row];
    auto parameters = parameters_of(patterns()[row], segments);
    if (!parameters) continue;
    found.known_path = true;
    if (method != route.method && !(method == "HEAD" && std::string_view(route.method) == "GET")) continue;
    found.route = &route;
    found.parameters = std::move(*parameters);
    return found;
  }
  return found;
}

int status_of(const std::exception& error) {
  auto known = dynamic_cast<const Error*>(&error);
  return known ? status_of_kind(known->kind()) : 500;
}

net::Response error_response(const std::exception& error) {
  int status = status_of(error);
  if (!dynamic_cast<const Error*>(&error)) log::error("api", "unexpected error", {{"reason", error.what()}});
  auto response = detail(status, error.what());
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

net::Response json_response(const nlohmann::ordered_json& body, int status) {
  // Names from Docker and the share may hold any byte: replace rather than fail.
  return {.status = status, .body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

net::Response detail(int status, std::string_view text) { return json_response({{"detail", text}}, status); }

}  // namespace riverbox::api
