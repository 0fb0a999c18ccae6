#include "ssh/algorithms.hpp"

#include <string>

#include "base/error.hpp"

namespace riverbox::ssh {
namespace {

constexpr const char* kKeyExchanges =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512";
constexpr const char* kCiphers = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";
constexpr const char* kMacs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
constexpr const char* kHostKeyTypes = "ssh-ed25519";
constexpr const char* kUserKeyTypes =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";
constexpr int kMinRsaBits = 2048;

}  // namespace

void set_algorithms(ssh_bind bind) {
  const bool no = false;
  const int verbosity = SSH_LOG_NOLOG;
  const struct {
    ssh_bind_options_e option;
    const void* value;
  } all[] = {
      {SSH_BIND_OPTIONS_PROCESS_CONFIG, &no},
      {SSH_BIND_OPTIONS_LOG_VERBOSITY, &verbosity},
      {SSH_BIND_OPTIONS_KEY_EXCHANGE, kKeyExchanges},
      {SSH_BIND_OPTIONS_CIPHERS_C_S, kCiphers},
      {SSH_BIND_OPTIONS_CIPHERS_S_C, kCiphers},
      {SSH_BIND_OPTIONS_HMAC_C_S, kMacs},
      {SSH_BIND_OPTIONS_HMAC_S_C, kMacs},
      {SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, kHostKeyTypes},
      {SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, kUserKeyTypes},
      {SSH_BIND_OPTIONS_RSA_MIN_SIZE, &kMinRsaBits},
  };
  for (const auto& [option, value] : all)
    if (ssh_bind_options_set(bind, option, value) != SSH_OK) throw InternalError(std::string("cannot set up SSH: ") + ssh_get_error(bind));
}

}  // namespace riverbox::ssh
