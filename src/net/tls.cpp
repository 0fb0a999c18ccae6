#include "net/tls.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <cstdlib>

#include "base/error.hpp"

namespace riverbox::net {
namespace ssl = boost::asio::ssl;

namespace {

// TLS 1.2 only with forward secrecy and authenticated encryption; what 1.3 has is all like that.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

// In place of the usual verification: the certificate with the fingerprint is what we trust, and the server's must be it or be signed by it. The one that was
// pinned belongs to one host alone, so there is nothing that a name would add.
int verify_pinned(X509_STORE_CTX* store, void* argument) noexcept {
  const auto& pin = *static_cast<const Fingerprint*>(argument);
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_untrusted(store);
  X509* pinned = nullptr;
  for (int i = 0; i < sk_X509_num(chain) && !pinned; ++i) {
    Fingerprint found;
    unsigned size = 0;
    X509* candidate = sk_X509_value(chain, i);
    if (X509_digest(candidate, EVP_sha256(), found.sha256.data(), &size) == 1 && found == pin) pinned = candidate;
  }
  if (pinned && X509_cmp(pinned, leaf) == 0) return 1;
  // One that vouches for others must be like ours, of one host alone: an authority of a whole department would vouch for its printers, too.
  if (pinned && X509_check_ca(pinned) > 0 && X509_get_pathlen(pinned) == 0 && X509_self_signed(pinned, 1) == 1) {
    STACK_OF(X509)* trusted = sk_X509_new_null();
    if (trusted && sk_X509_push(trusted, pinned) > 0) X509_STORE_CTX_set0_trusted_stack(store, trusted);
    const int verified = trusted && X509_verify_cert(store) == 1;
    X509_STORE_CTX_set0_trusted_stack(store, nullptr);
    sk_X509_free(trusted);
    return verified;
  }
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
  return 0;
}

void use(ssl::context& context, const std::filesystem::path& certificate, const std::filesystem::path& key) {
  SSL_CTX* native = context.native_handle();
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(native, certificate.c_str()) != 1)
    throw ConfigError(fmt::format("cannot use the certificate {}: {}", certificate.string(), tls_error()), "It must be a PEM file: the host's certificate, then those that signed it.");
  if (SSL_CTX_use_PrivateKey_file(native, key.c_str(), SSL_FILETYPE_PEM) != 1)
    throw ConfigError(fmt::format("cannot use the key {}: {}", key.string(), tls_error()), fmt::format("It must be the PEM file of the key of {}, without a passphrase.", certificate.string()));
}

}  // namespace

TlsContext::TlsContext(bool is_server) : context_(std::make_unique<ssl::context>(is_server ? ssl::context::tls_server : ssl::context::tls_client)) {
  SSL_CTX* native = context_->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // 34 kB less for each connection that waits
}

TlsContext::~TlsContext() = default;

std::shared_ptr<TlsContext> TlsContext::server(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  std::shared_ptr<TlsContext> context(new TlsContext(true));
  use(*context->context_, certificate, key);
  return context;
}

std::shared_ptr<TlsContext> TlsContext::client(const std::optional<Fingerprint>& pin) {
  std::shared_ptr<TlsContext> context(new TlsContext(false));
  context->pin_ = pin;
  context->context_->set_verify_mode(ssl::verify_peer);
  if (pin) check_pin(context->context_->native_handle(), *context->pin_);
  else if (const char* bundle = ca_bundle()) SSL_CTX_load_verify_file(context->context_->native_handle(), bundle);
  return context;
}

ssl::context& TlsContext::asio() { return *context_; }

void TlsContext::expect(ssl_st* connection, const std::string& host_name) const {
  boost::system::error_code no_address;
  boost::asio::ip::make_address(host_name, no_address);
  if (no_address) SSL_set_tlsext_host_name(connection, host_name.c_str());
  if (pin_) return;
  X509_VERIFY_PARAM* wanted = SSL_get0_param(connection);
  if (no_address) X509_VERIFY_PARAM_set1_host(wanted, host_name.c_str(), host_name.size());
  else X509_VERIFY_PARAM_set1_ip_asc(wanted, host_name.c_str());
}

void check_pin(ssl_ctx_st* context, const Fingerprint& pin) {
  SSL_CTX_set_cert_verify_callback(context, verify_pinned, const_cast<Fingerprint*>(&pin));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
}

std::string distrust(ssl_st* connection) {
  const long result = SSL_get_verify_result(connection);
  return result == X509_V_OK ? "" : X509_verify_cert_error_string(result);
}

std::string advice_about(std::string_view problem, bool pinned) {
  if (pinned && problem.find(X509_verify_cert_error_string(X509_V_ERR_CERT_UNTRUSTED)) != std::string_view::npos)
    return "Its certificate has another fingerprint than the one after the # of the address. `riverbox host fingerprint` prints the right address on the host; if nobody has changed its certificate, somebody else answers in its place.";
  if (problem.find("expired") != std::string_view::npos || problem.find("not yet valid") != std::string_view::npos) return "Look at the clocks of both machines, and at how long the certificate is valid.";
  if (problem.find("mismatch") != std::string_view::npos) return "The certificate is of another name: use that name, or on the host [security] allowed_hosts.";
  return "For the certificate that a host makes for itself, use the address with its fingerprint: `riverbox host fingerprint` prints it on the host.";
}

// A static program has no built-in bundle, because distributions disagree about where it lies.
const char* ca_bundle() {
  const char* named = getenv("SSL_CERT_FILE");
  if (named && *named) return named;
  for (const char* path : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (access(path, R_OK) == 0) return path;
  return nullptr;
}

std::string tls_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
  return reason ? reason : "unknown error";
}

}  // namespace riverbox::net
