// Who may talk to us: bearer tokens, and the Host and Origin checks that keep web pages out (DNS rebinding, cross-site WebSockets).
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.hpp"
#include "base/identity.hpp"
#include "net/http.hpp"

namespace riverbox::net {

// The token of the file; nullopt when there is no file. Throws ConfigError when others can read the file or it is malformed.
std::optional<std::string> read_token_file(const std::filesystem::path& path);
// Makes the folders that are missing, readable by their owner only. Throws IoError, also when no file can be made there.
void prepare_token_folder(const std::filesystem::path& file);
// A file of mode 0600 with this token, atomically, in the place of any other. Throws IoError.
void write_token_file(const std::filesystem::path& path, const std::string& token);
// Reads it, or makes 32 random bytes as hex in a file of mode 0600 in a folder of mode 0700 (atomically; two starts at once agree).
std::string read_or_create_token(const std::filesystem::path& path);
// The token this client or runner shall send: config (flag, environment, file) first, else the token file; "" when there is none.
std::string client_token(const Config& config);

// The cookie in which a browser keeps its session, which is a token as any other.
inline constexpr std::string_view kSessionCookie = "riverbox_session";
std::optional<std::string> session_cookie(const Request& request);

// What this host is called, in lower case and without ports: localhost, this machine's name, network.host_reachable_address, security.allowed_hosts; addresses without
// brackets. Throws ConfigError for what is no host name.
std::vector<std::string> host_names(const Config& config);

class AccessPolicy {
public:
  // How somebody is found; any thread, must not block.
  struct Finders {
    std::function<std::optional<Identity>(const std::string& token)> token;  // whose it is; not given: authentication is off
    std::function<std::optional<Identity>(const LocalUser& user)> local;     // who comes over the unix socket
    std::function<std::optional<Identity>(const std::string& ticket, const std::string& path)> ticket;  // who was given it for this path; good once
  };
  // Right are host_names() and every IP address.
  AccessPolicy(const Config& config, Finders find);
  bool requires_token() const { return find_.token != nullptr; }
  // Who asks; nullopt: nobody that we know. A token in a header counts first. A browser has its session's cookie instead, which opens no WebSocket and changes nothing
  // unless the request says from which page it comes (check_origin has looked at that). For a WebSocket it has a ticket, or as old dashboards "?token=", which an
  // EventSource may have as well. Last comes the user at the other end of a unix socket.
  std::optional<Identity> identify(const Request& request) const;
  // The same for the registry, whose clients send the token as the password of any user (RFC 7617) or as a bearer token.
  std::optional<Identity> identify_puller(const Request& request) const;
  // Host header: present and ours. Origin header: absent (not a browser), same host and port as Host, or in allowed_origins.
  // For every upgrade and every request that changes something. 403 with the reason.
  std::optional<Response> check_origin(const Request& request) const;

private:
  std::optional<Identity> identify_browser(const Request& request) const;

  Finders find_;
  std::vector<std::string> hosts_, origins_;
};

}  // namespace riverbox::net
