#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/archive_file.hpp"
#include "environment/republish.hpp"
#include "environment/share.hpp"
#include "environment/signatures.hpp"
#include "image_builder.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::TemporaryFolder;

namespace {

const EnvironmentName kEnv = EnvironmentName::parse("env");

// A version on a share, signed, and who believes in its signature.
struct SignedVersion {
  explicit SignedVersion(bool oci = true) {
    testing::Image image;
    image.layers = {"one", "two"};
    image.oci = image.oci_manifest = oci;
    folder.write("env-7.tar", image.save());
    archive = read_archive(share.place_of("env-7.tar"));
    archive.signature = sign_version(key, kEnv, 7, archive);
    write_index(share.index_place("env-7.tar"), archive);
    trusted->replace({key.public_key()});
  }
  SignatureState state(const Archive& of, const EnvironmentName& name = kEnv, std::int64_t version = 7) const { return trusted->examine(name, version, of); }
  Archive opened() const { return open_archive(share.place_of("env-7.tar"), share.index_place("env-7.tar")); }
  TemporaryFolder folder;
  Share share{folder.path()};
  SigningKey key = SigningKey::from_seed(random_hex(32));
  std::shared_ptr<TrustedKeys> trusted = std::make_shared<TrustedKeys>();
  Archive archive;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("what is signed names everything by which an image could be another") {
  const SignedVersion one;
  const std::string text = signed_statement(kEnv, 7, one.archive);
  CHECK(text == "riverbox version 1\nenvironment env\nversion 7\nconfig " + one.archive.config_digest + "\nmanifest " + one.archive.manifest_digest + "\nlayer " +
                    one.archive.identity.diff_ids.at(0) + "\nlayer " + one.archive.identity.diff_ids.at(1) + "\n");
  CHECK(signed_statement(kEnv, 7, SignedVersion(false).archive).find("\nmanifest none\n") != std::string::npos);
}

// fault: version-forged
TEST_CASE("a signature goes through the index and is of this version alone") {
  const SignedVersion one;
  const Archive good = one.opened();
  CHECK(one.state(good) == SignatureState::valid);
  CHECK(one.state(good, EnvironmentName::parse("other")) == SignatureState::wrong);
  CHECK(one.state(good, kEnv, 8) == SignatureState::wrong);
  const auto tampered = [&](auto change) {
    Archive bad = good;
    change(bad);
    return one.state(bad);
  };
  const std::string other = "sha256:" + std::string(64, 'a');
  CHECK(tampered([&](Archive& a) { a.config_digest = other; }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.manifest_digest = other; }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.manifest_digest.clear(); }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.identity.diff_ids[1] = other; }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.identity.diff_ids.push_back(other); }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.identity.diff_ids.pop_back(); }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { std::swap(a.identity.diff_ids[0], a.identity.diff_ids[1]); }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.signature->value[5] = a.signature->value[5] == '0' ? '1' : '0'; }) == SignatureState::wrong);
  CHECK(tampered([&](Archive& a) { a.signature.reset(); }) == SignatureState::none);
  CHECK(tampered([&](Archive& a) { a.signature->key_id = std::string(16, '0'); }) == SignatureState::unknown_key);
  const auto stranger = SigningKey::from_seed(random_hex(32));
  CHECK(tampered([&](Archive& a) { a.signature = sign_version(stranger, kEnv, 7, a); }) == SignatureState::unknown_key);
  CHECK(tampered([&](Archive& a) { a.signature = Signature{one.key.public_key().id(), stranger.sign(signed_statement(kEnv, 7, a))}; }) == SignatureState::wrong);
}

TEST_CASE("an index may hold anything in the place of a signature") {
  const SignedVersion one;
  const auto index = one.share.index_path("env-7.tar");
  const std::string good = os::read_beneath(index, 1 << 20);
  const std::string value = one.archive.signature->value;
  const auto with = [&](const std::string& text) {
    std::ofstream(index) << text;
    return one.state(one.opened());
  };
  CHECK(with(good) == SignatureState::valid);
  CHECK(with(replaced(good, value, value.substr(2))) == SignatureState::wrong);
  CHECK(with(replaced(good, value, value + "00")) == SignatureState::wrong);
  CHECK(with(replaced(good, value, std::string(1 << 20, 'a'))) == SignatureState::wrong);
  CHECK(with(replaced(good, "\"" + value + "\"", "17")) == SignatureState::wrong);
  CHECK(with(replaced(good, "\"signature\": {", "\"signature\": 5, \"x\": {")) == SignatureState::wrong);
  CHECK(with(replaced(good, "\"signature\": {", "\"signature\": [], \"x\": {")) == SignatureState::wrong);
  CHECK(with(replaced(good, "\"signature\"", "\"Signature\"")) == SignatureState::none);
  CHECK(with("{}") == SignatureState::none);
  CHECK(with("[]") == SignatureState::none);
  CHECK(with("not JSON") == SignatureState::none);
  CHECK(with(replaced(good, "\"size_bytes\": ", "\"size_bytes\": 1")) == SignatureState::valid);  // no index of this file, but the archive itself says what was signed
}

// fault: version-forged
TEST_CASE("what an index says is signed is not what an archive is: its headers decide") {
  const SignedVersion one;
  testing::Image evil;
  evil.layers = {"one", "two", "evil"};
  evil.oci = evil.oci_manifest = true;
  one.folder.write("env-7.tar", evil.save());
  write_index(one.share.index_place("env-7.tar"), one.archive);  // younger, with a size that does not fit
  CHECK(one.state(one.opened()) == SignatureState::wrong);
  Archive lie = one.archive;
  lie.size_bytes = std::filesystem::file_size(one.share.path_of("env-7.tar"));
  write_index(one.share.index_place("env-7.tar"), lie);
  ArchiveFile file(one.share.place_of("env-7.tar"), one.share.index_place("env-7.tar"));
  CHECK(one.state(file.archive()) == SignatureState::valid);  // nothing has been read of the archive yet
  file.read_documents();
  CHECK(one.state(file.archive()) == SignatureState::wrong);
  const SignatureGate gate(SignaturePolicy::require, one.trusted);
  CHECK_THROWS_WITH_AS(gate.pass("env-7.tar", file.archive()), doctest::Contains("changed, renamed or exchanged"), BadData);
}

TEST_CASE("a gate lets pass by its policy") {
  const SignedVersion one;
  const Archive good = one.opened();
  Archive bad = good;
  bad.signature.reset();
  for (const auto policy : {SignaturePolicy::off, SignaturePolicy::warn}) {
    const SignatureGate gate(policy, one.trusted);
    gate.pass("env-7.tar", bad);
    CHECK_FALSE(gate.requires_signature());
  }
  SignatureGate().pass("env-7.tar", bad);
  const SignatureGate strict(SignaturePolicy::require, one.trusted);
  strict.pass("env-7.tar", good);
  CHECK_THROWS_WITH_AS(strict.pass("env-7.tar", bad), doctest::Contains("is not signed by the host"), BadData);
  CHECK_THROWS_AS(strict.pass("env-8.tar", good), BadData);
  CHECK_THROWS_AS(strict.pass("other-7.tar", good), BadData);
  CHECK_THROWS_AS(strict.pass("nonsense", good), BadData);
  const SignatureGate ignorant(SignaturePolicy::require, std::make_shared<TrustedKeys>());
  CHECK_THROWS_WITH_AS(ignorant.pass("env-7.tar", good), doctest::Contains("no key of the host is known here"), BadData);
  CHECK(parse_signature_policy("require") == SignaturePolicy::require);
  CHECK_THROWS_AS(parse_signature_policy("yes"), InvalidInput);
}

// fault: key-changes
TEST_CASE("keys are kept, exchanged and several of them believed") {
  const SignedVersion one;
  const auto file = one.folder.path() / "keys";
  const auto next = SigningKey::from_seed(random_hex(32)).public_key();
  {
    TrustedKeys keys(file);
    CHECK(keys.all().empty());
    keys.replace({next, one.key.public_key()});
  }
  TrustedKeys keys(file);
  CHECK(keys.all() == std::vector<PublicKey>{next, one.key.public_key()});
  CHECK(keys.examine(kEnv, 7, one.opened()) == SignatureState::valid);
  keys.replace({next});
  CHECK(TrustedKeys(file).examine(kEnv, 7, one.opened()) == SignatureState::unknown_key);
  std::ofstream(file) << "# a comment\n\n" << next.str() << "  # of last year\n";
  CHECK(TrustedKeys(file).all() == std::vector<PublicKey>{next});
  std::ofstream(file) << "ed25519:abc\n";
  CHECK_THROWS_WITH_AS(TrustedKeys{file}, doctest::Contains("keys:1: 'ed25519:abc' is no public key"), ConfigError);
}

TEST_CASE("an image of a registry that the host has made a manifest for is the one that was signed without") {
  SignedVersion one(false);
  Archive pulled = one.archive;
  pulled.manifest_digest = "sha256:" + std::string(64, 'b');
  const SignatureGate gate(SignaturePolicy::require, one.trusted);
  CHECK(gate.is_signed_without_manifest("env-7.tar", pulled));
  CHECK_FALSE(gate.is_signed_without_manifest("env-7.tar", one.archive));
  pulled.identity.diff_ids.pop_back();
  CHECK_FALSE(gate.is_signed_without_manifest("env-7.tar", pulled));
  CHECK_FALSE(gate.is_signed_without_manifest("env-7.tar", SignedVersion().archive));
}

TEST_CASE("going back signs the new number, not the old one") {
  const SignedVersion one;
  const Version again = republish(one.share, kEnv, {7, "env-7.tar", one.archive.size_bytes, {}},
                                  [&](std::int64_t version, const Archive& archive) { return std::optional(sign_version(one.key, kEnv, version, archive)); }, {});
  const Archive archive = open_archive(one.share.place_of(again.tarball), one.share.index_place(again.tarball));
  CHECK(one.state(archive, kEnv, again.timestamp) == SignatureState::valid);
  CHECK(one.state(archive) == SignatureState::wrong);
  const Version unsigned_one = republish(one.share, kEnv, again, {}, {});
  CHECK(one.state(open_archive(one.share.place_of(unsigned_one.tarball), one.share.index_place(unsigned_one.tarball)), kEnv, unsigned_one.timestamp) == SignatureState::none);
}
