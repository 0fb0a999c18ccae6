#include "net/security.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/credentials.hpp"
#include "os/process.hpp"

namespace riverbox::net {
namespace {

struct HostPort {
  std::string host;  // lower case; an IPv6 address keeps its brackets
  std::string port;  // empty: none was written
};

bool is_ipv4(const std::string& text) {
  in_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}
bool is_ipv6(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}
bool is_ip_literal(const std::string& host) {
  if (host.starts_with('[')) return is_ipv6(host.substr(1, host.size() - 2));
  return is_ipv4(host);
}

// "host", "host:port", "[v6]:port"; nullopt for everything else, user names and paths included.
std::optional<HostPort> parse_host_port(std::string_view text) {
  HostPort parsed;
  const std::string lower = to_lower(trim(text));
  size_t end;
  if (lower.starts_with('[')) {
    end = lower.find(']');
    if (end == std::string::npos || !is_ipv6(lower.substr(1, end - 1))) return std::nullopt;
    ++end;
  } else {
    end = std::min(lower.find(':'), lower.size());
    const std::string_view host = std::string_view(lower).substr(0, end);
    if (host.empty() || host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_") != std::string_view::npos) return std::nullopt;
  }
  parsed.host = lower.substr(0, end);
  if (end == lower.size()) return parsed;
  parsed.port = lower.substr(end + 1);
  const auto number = parse_u64(parsed.port);
  if (lower[end] != ':' || !number || *number > 65535) return std::nullopt;
  parsed.port = std::to_string(*number);
  return parsed;
}

struct Origin {
  std::string scheme;
  HostPort where;
  std::string default_port() const { return scheme == "https" ? "443" : "80"; }
  std::string port() const { return where.port.empty() ? default_port() : where.port; }
  std::string str() const { return fmt::format("{}://{}:{}", scheme, where.host, port()); }
};

std::optional<Origin> parse_origin(std::string_view text) {
  const std::string lower = to_lower(trim(text));
  for (std::string scheme : {"http", "https"}) {
    if (!lower.starts_with(scheme + "://")) continue;
    auto where = parse_host_port(std::string_view(lower).substr(scheme.size() + 3));
    if (where) return Origin{scheme, *where};
  }
  return std::nullopt;
}

// A browser does not come over a unix socket by itself: this has passed a proxy, whose user is not who asks.
bool came_through_a_proxy(const Request& request) {
  constexpr std::string_view kSigns[] = {"origin", "cookie", "sec-fetch-site", "x-forwarded-for", "x-real-ip", "forwarded", "via"};
  return std::any_of(std::begin(kSigns), std::end(kSigns), [&](std::string_view name) { return request.header(name) != nullptr; });
}

// Who asks where nobody has to say it: everything is open.
const Identity kNobodyInParticular{"", Role::admin, false};

}  // namespace

std::vector<std::string> host_names(const Config& config) {
  const std::string machine = to_lower(os::host_name());
  std::vector<std::string> names{"localhost", machine, machine.substr(0, machine.find('.'))};
  const auto add = [&names](const std::string& text, const char* key) {
    if (text.empty()) return;
    if (is_ipv6(text)) return names.push_back(to_lower(text));
    const auto parsed = parse_host_port(text);
    if (!parsed)
      throw ConfigError(fmt::format("{}: \"{}\" is not a host name", key, printable(text)), "Write a name such as \"cluster.example.org\".");
    const std::string& host = parsed->host;
    names.push_back(host.starts_with('[') ? host.substr(1, host.size() - 2) : host);
  };
  add(config.network.host_reachable_address, "network.host_reachable_address");
  for (const std::string& host : config.security.allowed_hosts) add(host, "security.allowed_hosts");
  std::erase(names, "");
  return names;
}

AccessPolicy::AccessPolicy(const Config& config, Finders find) : find_(std::move(find)), hosts_(host_names(config)) {
  for (const std::string& text : config.security.allowed_origins) {
    std::string origin = text;
    if (origin.ends_with('/')) origin.pop_back();
    auto parsed = parse_origin(origin);
    if (!parsed)
      throw ConfigError(fmt::format("security.allowed_origins: \"{}\" is not an origin", printable(text)),
                        "Write scheme, host and port, such as \"https://dashboard.example.org\"; there is no wildcard.");
    origins_.push_back(parsed->str());
  }
}

std::optional<Identity> AccessPolicy::identify(const Request& request) const {
  if (!requires_token()) return kNobodyInParticular;
  if (const std::string* header = request.header("authorization")) {
    const auto given = bearer_token(*header);
    return given ? find_.token(*given) : std::nullopt;
  }
  if (auto found = identify_browser(request)) return found;
  return request.local_user && find_.local && !came_through_a_proxy(request) ? find_.local(*request.local_user) : std::nullopt;
}

std::optional<Identity> AccessPolicy::identify_browser(const Request& request) const {
  const bool upgrade = lists_token(request.header("upgrade"), "websocket");
  // It cannot give a WebSocket or an EventSource headers.
  if (upgrade || lists_token(request.header("accept"), "text/event-stream"))
    if (const auto given = request.query.find("token"); given != request.query.end()) return find_.token(given->second);
  if (upgrade) {
    const auto ticket = request.query.find("ticket");
    return ticket != request.query.end() && find_.ticket ? find_.ticket(ticket->second, request.path) : std::nullopt;
  }
  const bool changes = request.method != "GET";
  const auto session = changes && !request.header("origin") ? std::nullopt : session_cookie(request);
  return session ? find_.token(*session) : std::nullopt;
}

std::optional<std::string> session_cookie(const Request& request) {
  const std::string* header = request.header("cookie");
  if (!header) return std::nullopt;
  for (const std::string& part : split(*header, ';')) {
    const std::string_view pair = trim(part);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == kSessionCookie) return std::string(pair.substr(equals + 1));
  }
  return std::nullopt;
}

std::optional<Identity> AccessPolicy::identify_puller(const Request& request) const {
  if (!requires_token()) return kNobodyInParticular;
  const std::string* header = request.header("authorization");
  if (!header) return std::nullopt;
  auto given = bearer_token(*header);
  if (!given) given = basic_password(*header);
  return given ? find_.token(*given) : std::nullopt;
}

std::optional<Response> AccessPolicy::check_origin(const Request& request) const {
  const std::string* host_header = request.header("host");
  if (!host_header) return error_response(403, "the request has no Host header");
  const auto host = parse_host_port(*host_header);
  if (!host || (!is_ip_literal(host->host) && std::find(hosts_.begin(), hosts_.end(), host->host) == hosts_.end()))
    return error_response(403, fmt::format("this server is not called \"{}\". Use its IP address, or add the name to security.allowed_hosts.",
                                           printable(*host_header, 100)));
  const std::string* origin_header = request.header("origin");
  if (!origin_header) return std::nullopt;  // not a browser
  const auto origin = parse_origin(*origin_header);
  if (origin && request.secure && origin->scheme != "https") return error_response(403, "a page that came without TLS may not talk to this host");
  if (origin) {
    // Behind a proxy that ends TLS the Host has no port and the origin is https: both then mean the default of the scheme.
    const std::string host_port = host->port.empty() ? origin->default_port() : host->port;
    if (origin->where.host == host->host && origin->port() == host_port) return std::nullopt;
    if (std::find(origins_.begin(), origins_.end(), origin->str()) != origins_.end()) return std::nullopt;
  }
  return error_response(403, fmt::format("requests from pages of \"{}\" are not allowed. Open the dashboard at its own address, or add the "
                                         "origin to security.allowed_origins.",
                                         printable(*origin_header, 100)));
}

}  // namespace riverbox::net
