#include <doctest/doctest.h>

#include "../environment/image_builder.hpp"
#include "host/registry.hpp"

using namespace riverbox;
using namespace riverbox::host;
using testing::hex_of;
using testing::Image;

namespace {

struct World {
  testing::TemporaryFolder folder;
  Registry registry{environment::Share(folder.path())};

  std::filesystem::path put(std::int64_t version, const Image& image, const std::string& name = "env") {
    return folder.write(name + "-" + std::to_string(version) + ".tar", image.save());
  }
  static std::string bytes_of(const Registry::Blob& blob) {
    return os::pread_exact(blob.fd.get(), static_cast<size_t>(blob.span.size_bytes), static_cast<off_t>(blob.span.offset), blob.path);
  }
  template <class Work>
  static std::string code_of(Work work) {
    try {
      work();
    } catch (const RegistryError& error) {
      return error.code();
    }
    return "none";
  }
};

Image with_layers(std::vector<std::string> layers, bool oci = true) {
  Image image;
  image.oci = image.oci_manifest = oci;
  image.layers = std::move(layers);
  return image;
}

std::string digest_of(const std::string& bytes) { return "sha256:" + hex_of(bytes); }

}  // namespace

TEST_CASE("every version by number and by digest, the newest as latest") {
  World world;
  const Image older = with_layers({"a"}), newer = with_layers({"a", "b"});
  world.put(100, older);
  world.put(200, newer);
  CHECK(world.registry.manifest("env", "latest", false)->bytes == newer.oci_manifest_text());
  CHECK(world.registry.manifest("env", "100", false)->bytes == older.oci_manifest_text());
  CHECK(world.registry.manifest("env", "100", false)->tarball == "env-100.tar");
  for (const auto* image : {&older, &newer}) CHECK(world.registry.manifest("env", image->manifest_digest(), false)->digest == image->manifest_digest());
  CHECK(world.registry.tags("env") == std::vector<std::string>{"100", "200", "latest"});
  world.put(300, older, "another");
  CHECK(world.registry.repositories() == std::vector<std::string>{"another", "env"});
}

TEST_CASE("blobs of any version, and only of that environment") {
  World world;
  const Image older = with_layers({"a", "only in the older one"}), newer = with_layers({"a", "b"});
  world.put(100, older);
  world.put(200, newer);
  world.put(300, with_layers({"secret"}), "another");
  for (const std::string& bytes : {std::string("a"), std::string("b"), std::string("only in the older one"), older.config(), newer.config()})
    CHECK(World::bytes_of(*world.registry.blob("env", digest_of(bytes), false)) == bytes);
  CHECK(World::code_of([&] { world.registry.blob("env", digest_of("secret"), false); }) == "BLOB_UNKNOWN");
}

TEST_CASE("what is not there, with the code of the specification") {
  World world;
  world.put(100, with_layers({"a"}));
  const auto manifest = [&](const char* name, const std::string& reference) { return World::code_of([&] { world.registry.manifest(name, reference, true); }); };
  CHECK(manifest("nowhere", "latest") == "NAME_UNKNOWN");
  CHECK(manifest("Env", "latest") == "NAME_INVALID");
  CHECK(manifest("../env", "latest") == "NAME_INVALID");
  CHECK(manifest("env", "101") == "MANIFEST_UNKNOWN");
  CHECK(manifest("env", "newest") == "MANIFEST_UNKNOWN");
  CHECK(manifest("env", digest_of("x")) == "MANIFEST_UNKNOWN");
  CHECK(manifest("env", "sha256:x") == "DIGEST_INVALID");
  CHECK(World::code_of([&] { world.registry.blob("env", "sha256:x", true); }) == "DIGEST_INVALID");
  CHECK(World::code_of([&] { world.registry.blob("nowhere", digest_of("a"), true); }) == "NAME_UNKNOWN");
  CHECK(World::code_of([&] { world.registry.tags("nowhere"); }) == "NAME_UNKNOWN");
}

TEST_CASE("compressed layers without a manifest are read once, and only where that is allowed") {
  World world;
  Image image;
  image.compressed = true;
  const auto path = world.put(100, image);
  CHECK_FALSE(world.registry.manifest("env", "latest", false));
  CHECK_FALSE(world.registry.blob("env", digest_of(image.stored(0)), false));
  const auto manifest = world.registry.manifest("env", "latest", true);
  REQUIRE(manifest);
  CHECK(world.registry.manifest("env", "latest", false)->digest == manifest->digest);  // remembered
  CHECK(world.registry.manifest("env", manifest->digest, false)->bytes == manifest->bytes);
  CHECK(World::bytes_of(*world.registry.blob("env", digest_of(image.stored(0)), false)) == image.stored(0));
}

TEST_CASE("a damaged version stands in nobody's way") {
  World world;
  const Image older = with_layers({"a"});
  world.put(100, older);
  world.folder.write("env-200.tar", std::string(2048, 'x'));
  CHECK_THROWS_AS(world.registry.manifest("env", "latest", true), BadData);
  CHECK(world.registry.manifest("env", older.manifest_digest(), true));
  CHECK(World::bytes_of(*world.registry.blob("env", digest_of("a"), true)) == "a");
}

TEST_CASE("an archive that is replaced or deleted is not remembered as what it was") {
  World world;
  const Image first = with_layers({"a"}), second = with_layers({"b", "b2"});
  const auto path = world.put(100, first);
  CHECK(world.registry.manifest("env", "100", false)->digest == first.manifest_digest());
  const auto blob = world.registry.blob("env", digest_of("a"), false);
  std::filesystem::remove(path);
  CHECK(World::bytes_of(*blob) == "a");  // who reads it reads on
  world.put(100, second);
  CHECK(world.registry.manifest("env", "100", false)->digest == second.manifest_digest());
  CHECK(World::code_of([&] { world.registry.blob("env", digest_of("a"), false); }) == "BLOB_UNKNOWN");
  std::filesystem::remove(path);
  CHECK(World::code_of([&] { world.registry.blob("env", digest_of("b"), false); }) == "NAME_UNKNOWN");
}

TEST_CASE("hundreds of versions: the memory of them is bounded, the answers are right") {
  World world;
  for (int i = 0; i < 300; ++i) world.put(1000 + i, with_layers({"base", "change " + std::to_string(i)}));
  for (const int i : {0, 150, 299, 0}) {
    const auto change = "change " + std::to_string(i);
    CHECK(World::bytes_of(*world.registry.blob("env", digest_of(change), false)) == change);
  }
  CHECK(world.registry.tags("env").size() == 301);
}
