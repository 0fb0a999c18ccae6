#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

#include "../mentions.hpp"
#include "base/error.hpp"
#include "environment/archive.hpp"
#include "image_builder.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::Image;
using testing::TarBuilder;
using testing::TemporaryFolder;

namespace {

// The message of the refusal, or "accepted". Whatever it is, it names the file.
std::string refusal(const std::string& bytes) {
  TemporaryFolder folder;
  const auto path = folder.write("env-5.tar", bytes);
  try {
    read_archive(path);
  } catch (const BadData& error) {
    CHECK(std::string(error.what()).find("env-5.tar") != std::string::npos);
    CHECK_FALSE(error.next().empty());
    return error.fact();
  }
  return "accepted";
}

Archive read(const std::string& bytes) {
  TemporaryFolder folder;
  return read_archive(folder.write("env-5.tar", bytes));
}

// An archive with something strange before the image.
std::string after(TarBuilder strange, const Image& image = {}) { return strange.open_end() + image.save(); }

std::string with_manifest(const std::string& manifest) {
  Image image;
  image.manifest_override = manifest;
  return image.save();
}
std::string with_config(const std::string& config) {
  Image image;
  image.config_override = config;
  return image.save();
}

}  // namespace

TEST_CASE("both layouts, tagged and untagged, plain and compressed, say the same image") {
  Image legacy, oci, packed, untagged;
  oci.oci = packed.oci = packed.compressed = true;
  untagged.repo_tags.clear();
  const Archive a = read(legacy.save()), b = read(oci.save()), c = read(packed.save()), d = read(untagged.save());
  CHECK(a.identity == b.identity);
  CHECK(a.identity == c.identity);
  CHECK(a.identity == d.identity);
  CHECK(a.config_digest == "sha256:" + testing::hex_of(legacy.config()));
  CHECK(b.config_digest == a.config_digest);
  CHECK(a.repo_tags == std::vector<std::string>{"hakuriver/env:base"});
  CHECK(d.repo_tags.empty());
  CHECK(a.architecture == "amd64");
  CHECK(a.os == "linux");
  CHECK(to_rfc3339(a.identity.created) == "2026-11-21T23:10:12.372627458Z");
  REQUIRE(a.layers.size() == 2);
  CHECK_FALSE(a.layers[0].compressed);
  CHECK(c.layers[0].compressed);
  CHECK(a.size_bytes == legacy.save().size());
}

TEST_CASE("layers are found at their offset") {
  const Image image;
  const std::string bytes = image.save();
  const Archive archive = read(bytes);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(bytes.substr(archive.layers[i].offset, archive.layers[i].size_bytes) == image.layers[i]);
    CHECK(archive.layers[i].diff_id == "sha256:" + testing::hex_of(image.layers[i]));
  }
}

TEST_CASE("equal layers: a symlink in the legacy layout, one blob in the other") {
  for (const bool oci : {false, true}) {
    Image image;
    image.oci = oci;
    image.layers = {"same", "other", "same"};
    const Archive archive = read(image.save());
    REQUIRE(archive.layers.size() == 3);
    CHECK(archive.layers[2].offset == archive.layers[0].offset);
    CHECK(archive.layers[2].member == archive.layers[0].member);
  }
}

TEST_CASE("long names: GNU and pax") {
  const std::string folder(150, 'd'), path = folder + "/layer.tar", layer = "deep layer";
  Image image;
  image.layers = {layer};
  const std::string manifest = fmt::format(R"([{{"Config":"{}","RepoTags":null,"Layers":["{}"]}}])", image.config_path(), path);
  TarBuilder gnu, pax;
  gnu.long_name(path).add(path.substr(0, 100), layer);
  pax.pax(TarBuilder::record("mtime", "1.5") + TarBuilder::record("path", path)).add("short", layer);
  for (TarBuilder* tar : {&gnu, &pax}) {
    tar->add(image.config_path(), image.config()).add("manifest.json", manifest);
    CHECK(read(tar->finish()).layers[0].member == path);
  }
}

TEST_CASE("sizes: base-256 and pax") {
  const Image image;
  TarBuilder tar;
  tar.add_with_size("big", "12345", std::string("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12));
  tar.pax(TarBuilder::record("size", "7")).add_with_size("other", "1234567", "00000000000");
  CHECK(read(after(tar)).layers.size() == 2);
}

TEST_CASE("'./' in front of names does not matter") {
  const Image image;
  TarBuilder tar;
  tar.add("./", "", '5').add("./" + image.layer_path(0), image.layers[0]).add("./" + image.layer_path(1), image.layers[1]);
  tar.add("./" + image.config_path(), image.config()).add("./manifest.json", image.manifest());
  CHECK(read(tar.finish()).layers.size() == 2);
}

TEST_CASE("a first member whose name begins like a compressed file makes no compressed file") {
  const Image image;
  TarBuilder tar;
  tar.add("BZh-notes", "").add(image.layer_path(0), image.layers[0]).add(image.layer_path(1), image.layers[1]);
  tar.add(image.config_path(), image.config()).add("manifest.json", image.manifest());
  CHECK(read(tar.finish()).layers.size() == 2);
}

TEST_CASE("files that are no archive of an image each get their own reason") {
  CHECK(mentions(refusal(""), "it is empty"));
  CHECK(mentions(refusal("hello"), "too short"));
  CHECK(mentions(refusal(std::string(4096, 'A')), "not a tar file"));
  CHECK(mentions(refusal(testing::gzip(Image{}.save())), "compressed with gzip"));
  CHECK(mentions(refusal(std::string(10240, '\0')), "empty tar"));
  CHECK(mentions(refusal(TarBuilder().add("README", "x").finish()), "not of a Docker image"));
  CHECK(mentions(refusal(TarBuilder().add("bin/", "", '5').add("etc/", "", '5').finish()), "docker export"));
  CHECK(mentions(refusal(TarBuilder().add("oci-layout", "{}").add("index.json", "{}").finish()), "OCI archive without manifest.json"));
  CHECK(mentions(refusal(TarBuilder().add("repositories", "{}").finish()), "older than 1.10"));
  TemporaryFolder folder;
  CHECK_THROWS_AS(read_archive(folder.path()), Error);
  CHECK_THROWS_AS(read_archive(folder.path() / "absent.tar"), IoError);
}

TEST_CASE("truncation: at every block, and by one byte") {
  for (const bool oci : {false, true}) {
    Image image;
    image.oci = oci;
    const std::string whole = image.save();
    const size_t manifest_end = image.members().open_end().size() - (oci ? 0 : 1024);  // `repositories` is not needed
    TemporaryFolder folder;
    for (size_t size = 0; size < whole.size(); size += 512) {
      CAPTURE(size);
      const auto path = folder.write("env-5.tar", whole.substr(0, size));
      if (size < manifest_end || (!oci && size == manifest_end + 512)) CHECK_THROWS_AS(read_archive(path), BadData);
      else CHECK_NOTHROW(read_archive(path));
    }
    CHECK(mentions(refusal(whole.substr(0, whole.size() - 1)), "truncated"));
    CHECK(mentions(refusal(whole.substr(0, 600)), "truncated"));
  }
}

// fault: archive-hostile
TEST_CASE("B1: names that lead elsewhere") {
  for (const char* name : {"../x", "/x", "a/../../x", "a/.."}) {
    CAPTURE(name);
    CHECK(refusal(after(TarBuilder().add(name, "x"))) != "accepted");
  }
  CHECK(mentions(refusal(after(TarBuilder().add("", "x"))), "no name"));
  CHECK(mentions(refusal(after(TarBuilder().add(".", "x"))), "no name"));
  CHECK(mentions(refusal(after(TarBuilder().long_name(std::string(64 << 10, 'n')).add("x", "x"))), "bytes long"));
  CHECK(mentions(refusal(after(TarBuilder().pax(TarBuilder::record("path", std::string("a\0b", 3))).add("x", "x"))), "NUL"));
  CHECK(refusal(after(TarBuilder().add("\xff\xfe", "x"))) == "accepted");  // odd, but nobody asks for it
  CHECK(mentions(refusal(with_manifest(R"([{"Config":"../../etc/passwd","Layers":[]}])")), "out of the archive"));
  CHECK(mentions(refusal(with_manifest(R"([{"Config":"/etc/passwd","Layers":[]}])")), "absolute"));
}

TEST_CASE("B2: links, devices and pipes") {
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '2', "/etc"))), "out of the archive"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '2', "../../etc"))), "out of the archive"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '1', "../outside"))), "out of the archive"));
  CHECK(mentions(refusal(after(TarBuilder().add("dir/", "", '5').add("x", "", '2', "dir").add("x/y", "data"))), "is a directory"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '2', "nowhere"))), "missing"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '2', "y").add("y", "", '2', "x"))), "circles"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '2', ""))), "nowhere"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '3'))), "device"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '4'))), "device"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", '6'))), "FIFO"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", 'V'))), "unknown type"));
}

TEST_CASE("B3: sizes and extensions that lie") {
  CHECK(mentions(refusal(after(TarBuilder().add_with_size("x", "", "77777777777"))), "truncated"));
  CHECK(mentions(refusal(after(TarBuilder().add_with_size("x", "", std::string(12, '\xff')))), "negative"));
  CHECK(mentions(refusal(after(TarBuilder().add_with_size("x", "", "\x80" + std::string(11, '\xff')))), "absurd"));
  CHECK(mentions(refusal(after(TarBuilder().add_with_size("x", "", "12x45"))), "not a number"));
  CHECK(mentions(refusal(after(TarBuilder().add_with_size("x/", "", "00000001000", '5'))), "claims to have data"));
  CHECK(mentions(refusal(after(TarBuilder().pax(TarBuilder::record("size", "999999999999999999999")).add("x", ""))), "absurd"));
  CHECK(mentions(refusal(after(TarBuilder().pax(TarBuilder::record("size", "9999999999")).add("x", ""))), "truncated"));
  CHECK(mentions(refusal(after(TarBuilder().pax(TarBuilder::record("path", "a")).pax(TarBuilder::record("path", "b")).add("x", ""))), "two pax"));
  CHECK(mentions(refusal(after(TarBuilder().long_name("a").long_name("b").add("x", ""))), "two long names"));
  CHECK(mentions(refusal(after(TarBuilder().long_name("a").pax(TarBuilder::record("path", "b")).add("x", ""))), "two long names"));
  CHECK(mentions(refusal(after(TarBuilder().pax("nonsense").add("x", ""))), "malformed"));
  CHECK(mentions(refusal(after(TarBuilder().pax("99 path=x\n").add("x", ""))), "malformed"));
  CHECK(mentions(refusal(after(TarBuilder().pax(TarBuilder::record("GNU.sparse.major", "1")).add("x", ""))), "sparse"));
  CHECK(mentions(refusal(after(TarBuilder().add("x", "", 'S'))), "unknown type"));
  CHECK(mentions(refusal(after(TarBuilder().add("g", TarBuilder::record("path", "b"), 'g').add("x", ""))), "global"));
  CHECK(mentions(refusal(after(TarBuilder().add("L", std::string(2 << 20, 'n'), 'L').add("x", ""))), "absurdly long"));
  CHECK(mentions(refusal(Image{}.save().substr(0, 0) + TarBuilder().long_name("a").finish()), "truncated"));
}

TEST_CASE("B4: checksums and twins") {
  std::string bytes = Image{}.save();
  bytes[512 + 3] ^= 1;  // the name in the second header
  CHECK(mentions(refusal(bytes), "checksum"));
  CHECK(mentions(refusal(after(TarBuilder().add("manifest.json", "[]"))), "twice"));
}

TEST_CASE("B5: manifests and configs that do not fit") {
  const Image image;
  const std::string config = image.config_path(), one = image.layer_path(0), two = image.layer_path(1);
  CHECK(mentions(refusal(with_manifest("[]")), "no image"));
  CHECK(mentions(refusal(with_manifest("{}")), "no image"));
  CHECK(mentions(refusal(with_manifest("nonsense")), "not valid JSON"));
  CHECK(mentions(refusal(with_manifest("[1e999]")), "not valid JSON"));
  CHECK(mentions(refusal(with_manifest("[7]")), "malformed"));
  CHECK(mentions(refusal(with_manifest(std::string(100'000, '['))), "deep"));
  CHECK(mentions(refusal(with_manifest(R"([{"RepoTags":["a:1"]},{"RepoTags":["b:2"]}])")), "2 images (a:1, b:2)"));
  CHECK(mentions(refusal(with_manifest(R"([{"Layers":[]}])")), "no config"));
  CHECK(mentions(refusal(with_manifest(fmt::format(R"([{{"Config":"{}","Layers":["{}"]}}])", config, one))), "lists 1 layers, the config 2"));
  CHECK(mentions(refusal(with_manifest(fmt::format(R"([{{"Config":"{}","Layers":["{}","gone"]}}])", config, one))), "'gone' is missing"));
  CHECK(mentions(refusal(with_manifest(fmt::format(R"([{{"Config":"{}","Layers":["{}",7]}}])", config, one))), "not a text"));
  CHECK(mentions(refusal(with_manifest(fmt::format(R"([{{"Config":"{}","Layers":"{}"}}])", config, one))), "not a list"));
  CHECK(mentions(refusal(with_manifest(fmt::format(R"([{{"Config":"{}","Layers":["{}","{}"],"repotags":["evil:latest"]}}])", config, one, two))), "spells"));
  CHECK(mentions(refusal(with_config(R"({"created":"2026-01-01T00:00:00Z"})")), "no rootfs"));
  CHECK(mentions(refusal(with_config("[]")), "malformed"));
  std::string many;
  for (int i = 0; i < 501; ++i) many += fmt::format("{}\"sha256:{}\"", i ? "," : "", std::string(64, 'a'));
  CHECK(mentions(refusal(with_config(R"({"rootfs":{"diff_ids":[)" + many + "]}}")), "has 501 layers"));
  CHECK(mentions(refusal(with_config(std::string((16 << 20) + 1, ' '))), "large"));
}

TEST_CASE("B7: digests that are none") {
  CHECK(mentions(refusal(with_config(R"({"rootfs":{"diff_ids":["sha256:ABC"]}})")), "no sha256 digest"));
  CHECK(mentions(refusal(with_config(R"({"rootfs":{"diff_ids":["md5:d41d8cd98f00b204e9800998ecf8427e"]}})")), "no sha256 digest"));
  CHECK(mentions(refusal(with_config(R"({"rootfs":{"diff_ids":["sha256:../../../../etc/passwd"]}})")), "no sha256 digest"));
  TarBuilder tar;
  tar.add(std::string(64, 'a') + ".json", Image{}.config()).add("manifest.json", fmt::format(R"([{{"Config":"{}.json","Layers":[]}}])", std::string(64, 'a')));
  CHECK(mentions(refusal(tar.finish()), "has the digest"));
}

TEST_CASE("B8: a config of another machine, or with no date, is read as it is") {
  Image image;
  image.layers.clear();
  image.config_override = R"({"architecture":"riscv64","os":"linux","rootfs":{"diff_ids":[]},"history":[{"empty_layer":true},{"empty_layer":true}]})";
  const Archive archive = read(image.save());
  CHECK(archive.architecture == "riscv64");
  CHECK(archive.identity.created == WallTime{});
  CHECK(mentions(refusal(with_config(R"({"rootfs":{"diff_ids":[]},"history":[{"empty_layer":true},{"empty_layer":false}]})")), "tells of 1 layers, but there are 0"));
}

TEST_CASE("B9: index.json cannot bring in names that manifest.json does not have") {
  Image image;
  image.oci = true;
  image.index_override = R"({"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/hakuriver/env:base"}}]})";
  CHECK(refusal(image.save()) == "accepted");
  image.index_override = R"({"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/library/debian:12"}}]})";
  CHECK(mentions(refusal(image.save()), "'debian:12'"));
  image.index_override = R"({"manifests":[7]})";
  CHECK(mentions(refusal(image.save()), "malformed"));
}

// fault: escape-sequences
TEST_CASE("control characters of a hostile archive do not reach the terminal") {
  for (const char c : refusal(after(TarBuilder().add("x\x1b]0;pwned\x07", "", '6')))) CHECK(static_cast<unsigned char>(c) >= 0x20);
}

TEST_CASE("the index says what the archive says, as long as it fits the file") {
  TemporaryFolder folder;
  Image image;
  image.oci = image.compressed = true;
  const auto tar = folder.write("env-5.tar", image.save());
  const auto index = folder.write(".riverbox/env-5.json", "");
  const Archive archive = read_archive(tar);
  write_index(index, archive);
  const auto again = read_index(index, archive.size_bytes);
  REQUIRE(again);
  CHECK(again->identity == archive.identity);
  CHECK(again->config_digest == archive.config_digest);
  CHECK(again->repo_tags == archive.repo_tags);
  CHECK(again->architecture == archive.architecture);
  REQUIRE(again->layers.size() == archive.layers.size());
  CHECK(again->layers[1].member == archive.layers[1].member);
  CHECK(again->layers[1].offset == archive.layers[1].offset);
  CHECK(again->layers[1].compressed == archive.layers[1].compressed);
  CHECK_FALSE(read_index(index, archive.size_bytes + 512));
  CHECK_FALSE(read_index(folder.path() / "absent.json", 1));
}

TEST_CASE("a damaged index is as good as none") {
  TemporaryFolder folder;
  const auto tar = folder.write("env-5.tar", Image{}.save());
  const auto index = folder.write(".riverbox/env-5.json", "");
  const Archive archive = read_archive(tar);
  write_index(index, archive);
  std::ifstream in(index);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  for (size_t size = 0; size < good.size() - 2; size += 7) {
    folder.write(".riverbox/env-5.json", good.substr(0, size));
    CHECK_FALSE(read_index(index, archive.size_bytes));
  }
  for (const char* text : {"", "[]", "null", "{}", R"({"format":2})", R"({"format":1,"size_bytes":-1})", "{\"format\":\"1\"}"}) {
    folder.write(".riverbox/env-5.json", text);
    CHECK_FALSE(read_index(index, archive.size_bytes));
  }
  CHECK(open_archive(tar, index).identity == archive.identity);
}

TEST_CASE("an archive that is younger than its index is read itself") {
  TemporaryFolder folder;
  Image first, second;
  second.layers[0] = "layer two";
  const auto tar = folder.write("env-5.tar", first.save());
  const auto index = folder.write(".riverbox/env-5.json", "");
  write_index(index, read_archive(tar));
  folder.write("env-5.tar", second.save());  // the same size
  const timespec later[2] = {{time(nullptr) + 5, 0}, {time(nullptr) + 5, 0}};
  utimensat(AT_FDCWD, tar.c_str(), later, 0);
  CHECK(open_archive(tar, index).identity == read_archive(tar).identity);
}

TEST_CASE("a very long archive is indexed by its headers only") {
  TemporaryFolder folder;
  Image image;
  const auto path = folder.write("env-5.tar", image.save());
  // A sparse 30 GB member in the middle: reading it would take minutes.
  TarBuilder tar;
  const std::uint64_t huge = 30ull << 30;
  tar.add_with_size("huge", "", fmt::format("{:012o}", huge));
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << tar.open_end();
  out.seekp(static_cast<std::streamoff>(512 + huge));
  out << image.save();
  out.close();
  const auto begin = std::chrono::steady_clock::now();
  CHECK(read_archive(path).layers.size() == 2);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
}
