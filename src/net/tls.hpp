// TLS as both ends use it: 1.2 or newer, with certificates that are a file, or our own (net/certificate.hpp) and known by their fingerprint.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/fingerprint.hpp"

struct ssl_st;
struct ssl_ctx_st;
namespace boost::asio::ssl {
class context;
}

namespace riverbox::net {

class TlsContext {
public:
  // For a server, with its certificate (its chain after it) and key as PEM. Throws ConfigError when they cannot be read or do not fit each other.
  static std::shared_ptr<TlsContext> server(const std::filesystem::path& certificate, const std::filesystem::path& key);
  // For a client. With a pin: the server's chain must lead to the certificate with that fingerprint, whatever names are in it. Without: to an authority this machine
  // trusts, and with the name that was asked for.
  static std::shared_ptr<TlsContext> client(const std::optional<Fingerprint>& pin);
  ~TlsContext();

  boost::asio::ssl::context& asio();
  // Before the handshake of a client.
  void expect(ssl_st* connection, const std::string& host_name) const;

private:
  explicit TlsContext(bool is_server);
  std::unique_ptr<boost::asio::ssl::context> context_;
  std::optional<Fingerprint> pin_;
};

// The same for a context of somebody else's, such as libcurl's. `pin` must outlive it.
void check_pin(ssl_ctx_st* context, const Fingerprint& pin);
// Why a client did not accept the server's certificate, for people: what is wrong, and what to do. "" when that was not the reason.
std::string distrust(ssl_st* connection);
// What a client should do about a certificate with such a problem: OpenSSL's words, or libcurl's around them.
std::string advice_about(std::string_view problem, bool pinned);
// The file with the authorities that this machine trusts; nullptr: none was found.
const char* ca_bundle();
// What went wrong last in OpenSSL on this thread, for people.
std::string tls_error();

}  // namespace riverbox::net
