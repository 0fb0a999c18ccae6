#include "net/certificate.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/security.hpp"
#include "net/tls.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/folders.hpp"

namespace riverbox::net {
namespace fs = std::filesystem;

namespace {

constexpr long kAuthorityDays = 20 * 365, kHostDays = 397;  // browsers refuse longer ones
constexpr int kRenewBeforeDays = 30;
constexpr size_t kMaxPemBytes = 1 << 20;

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;

void must(bool done, const char* what) {
  if (!done) throw InternalError(fmt::format("cannot {}: {}", what, tls_error()));
}

std::string bytes_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

std::string pem_of(X509* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_X509(memory.get(), certificate) == 1, "write a certificate");
  return bytes_of(memory.get());
}

std::string pem_of(EVP_PKEY* key) {
  const Memory memory(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "write a key");
  return bytes_of(memory.get());
}

Memory opened(const std::string& pem) { return Memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Certificate first_certificate(const std::string& pem) { return Certificate(PEM_read_bio_X509(opened(pem).get(), nullptr, nullptr, nullptr)); }
Key first_key(const std::string& pem) { return Key(PEM_read_bio_PrivateKey(opened(pem).get(), nullptr, nullptr, nullptr)); }

Key new_key() {
  Key key(EVP_EC_gen("P-256"));
  must(key != nullptr, "make a key");
  return key;
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "make a certificate");
}

// Signed by `issuer`'s key, or by its own without one. An hour of its past counts as well, for clocks that are late.
Certificate new_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, long days, const std::vector<std::pair<int, std::string>>& extensions) {
  Certificate certificate(X509_new());
  X509* x = certificate.get();
  std::uint64_t serial = 0;
  must(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "draw a serial number");
  must(X509_set_version(x, X509_VERSION_3) == 1 && ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) == 1, "make a certificate");
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_time_adj_ex(X509_getm_notAfter(x), static_cast<int>(days), 0, nullptr);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
  add_extension(x, x, NID_subject_key_identifier, "hash");
  for (const auto& [kind, value] : extensions) add_extension(x, issuer ? issuer : x, kind, value);
  must(X509_sign(x, issuer_key, EVP_sha256()) > 0, "sign a certificate");
  return certificate;
}

Certificate new_authority(EVP_PKEY* key) {
  return new_certificate("riverbox host authority", key, nullptr, key, kAuthorityDays,
                         {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"}, {NID_key_usage, "critical,keyCertSign,cRLSign"}});
}

bool is_address(const std::string& name) {
  unsigned char address[16];
  return inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
}

Certificate new_host(EVP_PKEY* key, X509* authority, EVP_PKEY* authority_key, const std::vector<std::string>& names) {
  std::string subjects;
  for (const std::string& name : names) subjects += fmt::format("{}{}:{}", subjects.empty() ? "" : ",", is_address(name) ? "IP" : "DNS", name);
  return new_certificate("riverbox host", key, authority, authority_key, kHostDays,
                         {{NID_basic_constraints, "critical,CA:FALSE"}, {NID_key_usage, "critical,digitalSignature"}, {NID_ext_key_usage, "serverAuth"},
                          {NID_authority_key_identifier, "keyid"}, {NID_subject_alt_name, subjects}});
}

bool has_name(X509* certificate, const std::string& name) {
  if (is_address(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  return X509_check_host(certificate, name.data(), name.size(), X509_CHECK_FLAG_NO_WILDCARDS, nullptr) == 1;
}

bool still_good(X509* certificate, X509* authority, EVP_PKEY* key, const std::vector<std::string>& names) {
  int days = 0, seconds = 0;
  if (!certificate || !key || X509_check_private_key(certificate, key) != 1) return false;
  if (X509_verify(certificate, X509_get0_pubkey(authority)) != 1) return false;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1 || days < kRenewBeforeDays) return false;
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return has_name(certificate, name); });
}

std::string content(const fs::path& file) { return fs::exists(file) ? os::read_file(file, kMaxPemBytes) : std::string(); }

}  // namespace

CertificateFiles own_certificate(const fs::path& folder, const std::vector<std::string>& names) {
  if (const auto error = os::make_private_folders(folder))
    throw IoError("make the folder " + folder.string() + " for the host's certificate", error.value(), "Set paths.state_dir to a place that can be written.");
  const fs::path authority_file = folder / "ca.pem", authority_key_file = folder / "ca.key";
  const CertificateFiles files{folder / "host.pem", folder / "host.key"};

  Certificate authority = first_certificate(content(authority_file));
  Key authority_key = first_key(content(authority_key_file));
  if (!authority && fs::exists(authority_file)) throw ConfigError(fmt::format("{} is not a certificate", authority_file.string()), "Put back what was there; or remove the folder, and clients and runners have to trust a new one.");
  if (!authority) {
    authority_key = new_key();
    authority = new_authority(authority_key.get());
    os::write_atomically(authority_key_file, pem_of(authority_key.get()), 0600);
    os::write_atomically(authority_file, pem_of(authority.get()));
  }
  const Key old_key = first_key(content(files.key));
  const Certificate old = first_certificate(content(files.certificate));
  if (still_good(old.get(), authority.get(), old_key.get(), names)) return files;
  if (!authority_key || X509_check_private_key(authority.get(), authority_key.get()) != 1)
    throw ConfigError(fmt::format("{} is not the key of {}", authority_key_file.string(), authority_file.string()), "Put back the right one; or remove the folder, and clients and runners have to trust a new certificate.");
  const Key key = new_key();
  const Certificate host = new_host(key.get(), authority.get(), authority_key.get(), names);
  os::write_atomically(files.key, pem_of(key.get()), 0600);  // torn between the two, they do not fit each other, and the next start makes both again
  os::write_atomically(files.certificate, pem_of(host.get()) + pem_of(authority.get()));
  return files;
}

std::optional<CertificateFiles> certificate_of(const Config& config) {
  const auto& security = config.security;
  if (security.tls == "off") return std::nullopt;
  if (security.tls == "files") {
    if (security.tls_certificate.empty() || security.tls_key.empty())
      throw ConfigError("security.tls is \"files\", but security.tls_certificate or security.tls_key is missing", "Name both files; or say tls = \"auto\", and the host makes them.");
    return CertificateFiles{security.tls_certificate, security.tls_key};
  }
  std::vector<std::string> names = host_names(config);
  names.insert(names.end(), {"127.0.0.1", "::1"});
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return own_certificate(config.paths.state_dir / "tls", names);
}

std::optional<Fingerprint> pin_of(const Config& config) {
  const bool own = config.security.tls == "auto";
  const fs::path file = own ? config.paths.state_dir / "tls/ca.pem" : config.security.tls_certificate;
  std::error_code hidden;
  if (own && !fs::exists(file, hidden))
    throw ConfigError("there is no certificate of this host in " + file.string() + " yet, or you may not look", "Start the host first, and ask as its user, for example with sudo.");
  const Certificate first = first_certificate(content(file));
  if (!first) throw ConfigError(fmt::format("{} is not a certificate", file.string()), "security.tls_certificate must be a PEM file.");
  if (X509_self_signed(first.get(), 0) != 1) return std::nullopt;
  Fingerprint print;
  unsigned size = 0;
  must(X509_digest(first.get(), EVP_sha256(), print.sha256.data(), &size) == 1, "hash a certificate");
  return print;
}

}  // namespace riverbox::net
