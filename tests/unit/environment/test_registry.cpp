#include <doctest/doctest.h>

#include "base/error.hpp"
#include "environment/registry_image.hpp"
#include "environment/registry_reference.hpp"
#include "image_builder.hpp"
#include "os/fd.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::hex_of;
using testing::Image;

namespace {

struct Opened {
  explicit Opened(const Image& image) : Opened(image.save()) {}
  explicit Opened(const std::string& bytes) : file(folder.write("env-5.tar", bytes), folder.path() / "none.json") { file.read_documents(); }
  std::string bytes_of(const RegistryBlob& blob) const {
    return os::pread_exact(file.fd(), static_cast<size_t>(blob.span.size_bytes), static_cast<off_t>(blob.span.offset), "env-5.tar");
  }
  testing::TemporaryFolder folder;
  ArchiveFile file;
};

// Whatever the archive: the manifest is what its digest says, and so is every blob that it names.
RegistryImage checked(const Opened& opened) {
  const auto image = registry_image(opened.file, {});
  CHECK(image.digest == "sha256:" + hex_of(image.manifest));
  for (const auto& blob : image.blobs) {
    CHECK(blob.digest == "sha256:" + hex_of(opened.bytes_of(blob)));
    CHECK(image.manifest.find(fmt::format("\"digest\":\"{}\"", blob.digest)) != std::string::npos);
    CHECK(image.find(blob.digest)->span.offset == blob.span.offset);
  }
  CHECK_FALSE(image.find("sha256:" + hex_of("something else")));
  return image;
}

}  // namespace

TEST_CASE("references") {
  using Kind = RegistryReference::Kind;
  CHECK(RegistryReference::parse("latest").kind == Kind::latest);
  CHECK(RegistryReference::parse("1700000000").version == 1700000000);
  const std::string digest = "sha256:" + std::string(64, 'a');
  CHECK(RegistryReference::parse(digest).digest == digest);
  for (const char* text : {"", "newest", "0170", "-5", "+5", "99999999999999999999", "v1", "Latest"}) CHECK(RegistryReference::parse(text).kind == Kind::unknown);
  for (const std::string& text : {std::string("sha256:"), std::string("sha512:") + std::string(128, 'a'), "sha256:" + std::string(64, 'A'), std::string("a:b"), ":" + digest})
    CHECK_THROWS_AS(RegistryReference::parse(text), InvalidInput);
  CHECK_THROWS_AS(parse_registry_digest(std::string(64, 'a')), InvalidInput);
}

TEST_CASE("tags are sorted as text, each once; pages follow each other") {
  const auto tags = registry_tags({{1700000100, "e-1700000100.tar", 1, {}}, {999, "e-999.tar", 1, {}}, {999, "e-0999.tar", 1, {}}});
  CHECK(tags == std::vector<std::string>{"1700000100", "999", "latest"});
  CHECK(registry_tags({}).empty());

  auto page = page_of(tags, 2, "");
  CHECK(page.entries == std::vector<std::string>{"1700000100", "999"});
  CHECK(page.more);
  page = page_of(tags, 2, page.entries.back());
  CHECK(page.entries == std::vector<std::string>{"latest"});
  CHECK_FALSE(page.more);
  CHECK(page_of(tags, 100, "18").entries.front() == "999");  // `last` need not exist
  CHECK(page_of(tags, 0, "").entries.empty());
  CHECK_FALSE(page_of(tags, 0, "").more);
  CHECK(page_of(tags, 5, "zzz").entries.empty());
}

TEST_CASE("an archive with an OCI manifest: exactly that manifest") {
  for (const bool compressed : {false, true}) {
    Image image;
    image.oci = image.oci_manifest = true;
    image.compressed = compressed;
    const Opened opened(image);
    const auto found = checked(opened);
    CHECK(found.manifest == image.oci_manifest_text());
    CHECK(found.digest == image.manifest_digest());
    CHECK(found.media_type == "application/vnd.oci.image.manifest.v1+json");
    CHECK(found.blobs.size() == 3);
    CHECK_FALSE(needs_layer_digests(opened.file));
  }
}

TEST_CASE("Docker's own manifest type is passed on") {
  Image image;
  image.oci = image.oci_manifest = true;
  std::string text = image.oci_manifest_text();
  const std::string oci = "application/vnd.oci.image.manifest.v1+json", docker = "application/vnd.docker.distribution.manifest.v2+json";
  text.replace(text.find(oci), oci.size(), docker);
  image.oci_manifest_override = text;
  CHECK(checked(Opened(image)).media_type == docker);
}

TEST_CASE("without one it is made, always the same") {
  Image image;
  const auto plain = checked(Opened(image));
  CHECK(plain.manifest == checked(Opened(image)).manifest);
  CHECK(plain.manifest.find("\"application/vnd.oci.image.layer.v1.tar\"") != std::string::npos);
  CHECK(plain.find("sha256:" + hex_of(image.layers[0])));
  CHECK_FALSE(needs_layer_digests(Opened(image).file));
  image.layers.push_back("another");
  CHECK(checked(Opened(image)).digest != plain.digest);
}

TEST_CASE("compressed layers without a manifest: their files are read for their digests") {
  Image image;
  image.compressed = true;
  const Opened opened(image);
  CHECK(needs_layer_digests(opened.file));
  const auto found = checked(opened);
  CHECK(found.manifest.find("\"application/vnd.oci.image.layer.v1.tar+gzip\"") != std::string::npos);
  CHECK(found.find("sha256:" + hex_of(image.stored(0))));
  CancelToken cancelled;
  cancelled.cancel();
  CHECK_THROWS_AS(registry_image(opened.file, cancelled), Cancelled);
}

TEST_CASE("a layer in a compression that pullers do not know is refused") {
  Image image;
  image.layers = {std::string("BZh91AY&SY") + std::string(100, 'x')};
  CHECK_THROWS_AS(registry_image(Opened(image).file, {}), BadData);
}

TEST_CASE("equal layers are one blob, named twice") {
  Image image;
  image.layers = {"same", "other", "same"};
  for (const bool oci : {false, true}) {
    image.oci = image.oci_manifest = oci;
    CHECK(checked(Opened(image)).blobs.size() == 4);
  }
}

TEST_CASE("what was pulled is described as the archive that it came from") {
  for (const bool oci : {false, true}) {
    Image image;
    image.oci = image.oci_manifest = oci;
    image.layers = {"one", "two", "one"};
    const Opened opened(image);
    const auto served = registry_image(opened.file, {});
    CHECK(config_of_manifest(served.manifest).digest == opened.file.archive().config_digest);
    const auto pulled = describe_pulled(served.manifest, served.digest, opened.file.documents().config);
    CHECK(pulled.archive.identity == opened.file.archive().identity);
    CHECK(pulled.archive.config_digest == opened.file.archive().config_digest);
    CHECK(pulled.archive.manifest_digest == served.digest);
    REQUIRE(pulled.archive.layers.size() == 3);
    CHECK(pulled.archive.layers[1].offset == 3);
    CHECK(pulled.archive.layers[0].member == pulled.archive.layers[2].member);
  }
}

TEST_CASE("a manifest that is not of the config is refused") {
  Image image, other;
  other.layers.push_back("more");
  const Opened opened(image);
  const auto served = registry_image(opened.file, {});
  const std::string config = image.config();
  CHECK_THROWS_AS(describe_pulled(served.manifest, served.digest, other.config()), BadData);
  CHECK_THROWS_AS(describe_pulled(served.manifest, "sha256:" + hex_of("x"), config), BadData);
  CHECK_THROWS_AS(describe_pulled(served.manifest, "", config), BadData);
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"config":{},"layers":[]})"), std::string(R"({"config":1,"layers":{}})"),
                                  std::string(R"({"config":{"digest":"sha256:x","size":5},"layers":[]})"), std::string(R"({"config":{"digest":5,"size":5},"layers":[]})")}) {
    CHECK_THROWS_AS(config_of_manifest(text), BadData);
    CHECK_THROWS_AS(describe_pulled(text, "sha256:" + hex_of(text), config), BadData);
  }
  const std::string huge = fmt::format(R"({{"config":{{"digest":"sha256:{}","size":99999999999}},"layers":[]}})", hex_of("x"));
  CHECK_THROWS_AS(config_of_manifest(huge), BadData);
}
