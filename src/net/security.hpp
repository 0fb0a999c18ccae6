// Who may talk to us: bearer tokens, and the Host and Origin checks that keep web pages out (DNS rebinding, cross-site WebSockets).
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.hpp"
#include "net/http.hpp"

namespace riverbox::net {

// The token of the file; nullopt when there is no file. Throws ConfigError when others can read the file or it is malformed.
std::optional<std::string> read_token_file(const std::filesystem::path& path);
// Reads it, or makes 32 random bytes as hex in a file of mode 0600 in a folder of mode 0700 (atomically; two starts at once agree).
std::string read_or_create_token(const std::filesystem::path& path);
// The token this client or runner shall send: config (flag, environment, file) first, else the token file; "" when there is none.
std::string client_token(const Config& config);

// What the one who asks may do. The token is the administrator's; where there is none, nobody has said who he is.
enum class Role { user, admin };

class AccessPolicy {
public:
  // `token` empty = auth is "none". Host names that are always right: localhost, IP addresses, this machine's name,
  // network.host_reachable_address, security.allowed_hosts.
  AccessPolicy(const Config& config, std::string token);
  bool requires_token() const { return !token_.empty(); }
  // nullopt: allowed; else the refusal (401 {"detail":"Not authenticated"} with WWW-Authenticate: Bearer). Constant time.
  // The token may also come as "?token=" on a WebSocket upgrade and from an EventSource.
  std::optional<Response> check_token(const Request& request) const;
  // The same question for the registry, whose clients send the token as the password of any user (RFC 7617) or as a bearer token.
  bool allows_puller(const Request& request) const;
  Role role_of(const Request& request) const;
  // Host header: present and ours. Origin header: absent (not a browser), same host and port as Host, or in allowed_origins.
  // For every upgrade and every request that changes something. 403 with the reason.
  std::optional<Response> check_origin(const Request& request) const;

private:
  std::string token_;
  std::vector<std::string> hosts_, origins_;
};

}  // namespace riverbox::net
