#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"
#include "base/signature.hpp"
#include "base/strings.hpp"

using namespace riverbox;

namespace {

// RFC 8032, 7.1, test 2
constexpr const char* kSeed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
constexpr const char* kPublic = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
constexpr const char* kSignature =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

}  // namespace

TEST_CASE("the vectors of RFC 8032") {
  const auto key = SigningKey::from_seed(kSeed);
  CHECK(key.public_key().str() == kPublic);
  CHECK(key.sign("\x72") == kSignature);
  CHECK(PublicKey::parse(kPublic).verifies(kSignature, "\x72"));
  CHECK(SigningKey::from_seed("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").sign("") ==
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST_CASE("a signature is of one message and one key, and has one text") {
  const auto key = SigningKey::from_seed(kSeed), other = SigningKey::from_seed(random_hex(32));
  const std::string message = "riverbox version 1\n", good = key.sign(message);
  CHECK(key.public_key().verifies(good, message));
  CHECK_FALSE(key.public_key().verifies(good, message + "x"));
  CHECK_FALSE(key.public_key().verifies(good, ""));
  CHECK_FALSE(other.public_key().verifies(good, message));
  CHECK_FALSE(key.public_key().verifies(other.sign(message), message));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    CAPTURE(i);
    CHECK_FALSE(key.public_key().verifies(bad, message));
  }
  std::string upper = good;
  for (char& c : upper)
    if (c >= 'a') c = static_cast<char>(c - 'a' + 'A');
  for (const std::string& bad : {std::string(), good.substr(1), good.substr(0, 126), good + "00", good + "\n", " " + good, upper, std::string(128, 'g'), std::string(128, '0'), std::string(1 << 20, 'a')})
    CHECK_FALSE(key.public_key().verifies(bad, message));
}

TEST_CASE("keys are parsed strictly and named by a short digest") {
  const auto key = PublicKey::parse(kPublic);
  CHECK(key.id().size() == 16);
  CHECK(key.id() != SigningKey::from_seed(random_hex(32)).public_key().id());
  const std::string good = kPublic;
  for (const std::string& bad : {std::string(), good.substr(8), good + "0", good.substr(0, good.size() - 1), "rsa:" + good.substr(8), "ed25519:" + std::string(64, 'G'), " " + good})
    CHECK_THROWS_AS(PublicKey::parse(bad), InvalidInput);
  for (const char* bad : {"", "secret", "4ccd"}) {
    CHECK_THROWS_AS(SigningKey::from_seed(bad), InvalidInput);
    try {
      SigningKey::from_seed("secret");
    } catch (const InvalidInput& error) {
      CHECK(std::string(error.what()).find("secret") == std::string::npos);
    }
  }
}
