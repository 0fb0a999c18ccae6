// What a request leaves behind: its id in its answer and in every line of the log that is written for it, a line of its own at level debug, its share of the metrics.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "api/metrics.hpp"
#include "net/http.hpp"

namespace riverbox::api {

inline constexpr const char* kRequestIdHeader = "X-Request-Id";

// The one that the client has given in X-Request-Id, if that can be one (letters, digits and . _ : -, at most 64); else a new one.
std::string request_id(const net::Request& request);

// The same responder; with the first answer the request is told and counted. A body that goes on for hours counts by its head. To be made under the log::Scope of the request.
// `route`: the pattern that fits, for the metrics.
std::shared_ptr<net::Responder> traced(std::shared_ptr<net::Responder> responder, Metrics& metrics, const net::Request& request, std::string id, std::string route);

// The line of one request; never its query, which may hold tokens.
void log_request(const net::Request& request, int status, double milliseconds);
// An answer that blames the host is told in its log, too.
void log_failure(int status, std::string_view body);

}  // namespace riverbox::api
