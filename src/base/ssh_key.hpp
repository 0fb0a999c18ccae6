// Keys as ssh(1) writes them: public ones that users hand in, and Ed25519 pairs that are made here. Pure but for the random numbers.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace riverbox {

// A line of an authorized_keys file, or a file *.pub: type, key, comment.
struct SshPublicKey {
  std::string type;     // "ssh-ed25519"
  std::string blob;     // the key as it travels, binary; it begins with its type
  std::string comment;
  // Throws InvalidInput that says why it is none. Options before the key are refused: half obeyed they would promise what is not so.
  static SshPublicKey parse(std::string_view line);
  std::string line() const;
};

// All lines of a text; comments and empty ones are left out. Throws InvalidInput, also when there is none.
std::vector<SshPublicKey> parse_ssh_public_keys(std::string_view text);

struct SshKeyPair {
  SshPublicKey public_key;
  std::string private_key;  // as ssh-keygen(1) writes it, without a passphrase
  std::string dropbear;     // as dropbear(8) keeps it; binary
  static SshKeyPair make(const std::string& comment);
};

}  // namespace riverbox
