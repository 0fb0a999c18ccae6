#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"
#include "base/ssh_key.hpp"
#include "base/strings.hpp"

using namespace riverbox;

namespace {

constexpr const char* kLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop";

// A string as SSH has it: its length in four bytes, then itself. Taken off the front.
std::string take_string(std::string& rest) {
  REQUIRE(rest.size() >= 4);
  size_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(rest[static_cast<size_t>(i)]);
  REQUIRE(rest.size() >= 4 + size);
  const std::string taken = rest.substr(4, size);
  rest.erase(0, 4 + size);
  return taken;
}

std::string why_not(const std::string& line) {
  try {
    SshPublicKey::parse(line);
  } catch (const InvalidInput& error) {
    return error.fact();
  }
  return "";
}

}  // namespace

TEST_CASE("a public key is its type, its blob and its comment") {
  const auto key = SshPublicKey::parse(kLine);
  CHECK(key.type == "ssh-ed25519");
  CHECK(key.blob.size() == 4 + 11 + 4 + 32);
  CHECK(key.comment == "alice@laptop");
  CHECK(key.line() == kLine);
  const std::string bare = std::string(kLine).substr(0, std::string(kLine).rfind(' '));
  CHECK(SshPublicKey::parse("  " + bare + " \t two words ").comment == "two words");
  CHECK(SshPublicKey::parse(bare).comment.empty());
  CHECK(SshPublicKey::parse(bare).line() == bare);
}

TEST_CASE("what is no public key says why") {
  const std::string blob = std::string(kLine).substr(12, 68);
  CHECK(why_not("") == "it has options in front of the key, and those are not supported, or it is no key");
  CHECK(why_not("command=\"true\" " + std::string(kLine)).starts_with("it has options"));
  CHECK(why_not("ssh-dss " + blob) == "keys of type ssh-dss are not taken");
  CHECK(why_not("ssh-ed25519-cert-v01@openssh.com " + blob).ends_with("are not taken"));
  CHECK(why_not("ssh-ed25519") == "the key is damaged");
  CHECK(why_not("ssh-ed25519 ####") == "the key is damaged");
  CHECK(why_not("ssh-ed25519 " + blob.substr(0, 8)) == "the key is damaged");
  CHECK(why_not("ssh-rsa " + blob) == "the key is damaged");  // the blob is of another type
  CHECK(why_not(std::string(kLine) + "\nssh-rsa more") == "it has control characters");
  CHECK(why_not("-----BEGIN OPENSSH PRIVATE KEY-----") == "it is a private key");
  CHECK(why_not("ssh-ed25519 " + std::string(20000, 'A')) == "it is too long");
}

TEST_CASE("a file of keys: comments and empty lines do not count, one bad line does") {
  const std::string line = kLine;
  CHECK(parse_ssh_public_keys("# mine\n\n" + line + "\r\n  " + line + "\n").size() == 2);
  CHECK_THROWS_AS(parse_ssh_public_keys("# none\n"), InvalidInput);
  CHECK_THROWS_AS(parse_ssh_public_keys(""), InvalidInput);
  CHECK_THROWS_AS(parse_ssh_public_keys(line + "\nnonsense\n"), InvalidInput);
}

TEST_CASE("a pair that is made here: the public key, OpenSSH's text and dropbear's blob are of one key") {
  const auto pair = SshKeyPair::make("vps-1 of alice");
  CHECK(SshPublicKey::parse(pair.public_key.line()).blob == pair.public_key.blob);
  std::string blob = pair.public_key.blob;
  CHECK(take_string(blob) == "ssh-ed25519");
  const std::string public_half = take_string(blob);
  CHECK(public_half.size() == 32);
  CHECK(blob.empty());

  std::string dropbear = pair.dropbear;
  CHECK(take_string(dropbear) == "ssh-ed25519");
  const std::string both = take_string(dropbear);
  CHECK(dropbear.empty());
  CHECK(both.size() == 64);
  CHECK(both.substr(32) == public_half);

  const auto lines = split(pair.private_key, '\n');
  REQUIRE(lines.size() >= 4);
  CHECK(lines.front() == "-----BEGIN OPENSSH PRIVATE KEY-----");
  std::string text;
  size_t at = 1;
  for (; at < lines.size() && !lines[at].starts_with("-----"); ++at) {
    CHECK(lines[at].size() <= 70);
    text += lines[at];
  }
  REQUIRE(at < lines.size());
  CHECK(lines[at] == "-----END OPENSSH PRIVATE KEY-----");
  CHECK(pair.private_key.back() == '\n');

  auto decoded = base64_decoded(text);
  REQUIRE(decoded);
  std::string& rest = *decoded;
  REQUIRE(rest.starts_with(std::string("openssh-key-v1\0", 15)));
  rest.erase(0, 15);
  CHECK(take_string(rest) == "none");
  CHECK(take_string(rest) == "none");
  CHECK(take_string(rest).empty());
  CHECK(rest.substr(0, 4) == std::string("\0\0\0\1", 4));
  rest.erase(0, 4);
  CHECK(take_string(rest) == pair.public_key.blob);
  std::string secret = take_string(rest);
  CHECK(rest.empty());
  CHECK(secret.size() % 8 == 0);
  CHECK(secret.substr(0, 4) == secret.substr(4, 4));
  secret.erase(0, 8);
  CHECK(take_string(secret) == "ssh-ed25519");
  CHECK(take_string(secret) == public_half);
  CHECK(take_string(secret) == both);
  CHECK(take_string(secret) == "vps-1 of alice");
  for (size_t i = 0; i < secret.size(); ++i) CHECK(secret[i] == static_cast<char>(i + 1));
}

TEST_CASE("no two pairs are the same") { CHECK(SshKeyPair::make("").dropbear != SshKeyPair::make("").dropbear); }
