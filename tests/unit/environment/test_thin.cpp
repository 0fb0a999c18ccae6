// What travels to a daemon and in which form, and whether an index can be believed about it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>

#include "base/error.hpp"
#include "environment/archive_file.hpp"
#include "environment/thin.hpp"
#include "image_builder.hpp"
#include "os/fd.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using namespace testing;

namespace {

struct Saved {
  TemporaryFolder folder;
  std::filesystem::path path;
  ArchiveFile file;
  explicit Saved(const Image& image, const std::string& bytes = "")
      : path(folder.write("env-1.tar", bytes.empty() ? image.save() : bytes)), file(path, folder.path() / "env-1.json") {}
};

Image oci_image_of(std::vector<std::string> layers) {
  Image image;
  image.layers = std::move(layers);
  image.oci = image.oci_manifest = true;
  return image;
}

// The bytes that a daemon would get.
std::string flat(const std::vector<docker::Segment>& stream) {
  std::string bytes;
  for (const auto& segment : stream) {
    if (segment.fd < 0) bytes += segment.bytes;
    else bytes += os::pread_exact(segment.fd, segment.size_bytes, static_cast<off_t>(segment.offset), "archive");
  }
  return bytes;
}

std::string stream_of(Saved& saved, const Shipment& shipment, const std::string& tag = "hakuriver/env:loading-1") {
  return flat(image_stream(saved.file.archive(), saved.file.documents(), shipment, tag, saved.file.fd()));
}

using Layers = std::vector<size_t>;

}  // namespace

TEST_CASE("a layer counts as present only at its place in a chain") {
  const std::vector<std::string> wanted{"a", "b", "c"};
  CHECK(common_chain(wanted, {}) == 0);
  CHECK(common_chain(wanted, {{}}) == 0);
  CHECK(common_chain(wanted, {{"a"}}) == 1);
  CHECK(common_chain(wanted, {{"b", "c"}, {"a", "b", "x"}, {"a"}}) == 2);
  CHECK(common_chain(wanted, {{"x", "b", "c"}}) == 0);
  CHECK(common_chain(wanted, {{"b", "a", "c"}}) == 0);
  CHECK(common_chain(wanted, {{"a", "b", "c", "d"}}) == 3);
  CHECK(common_chain({}, {{"a"}}) == 0);
}

TEST_CASE("what travels above a chain that is present") {
  Image image;
  image.layers = {"one", std::string(3000, 'x'), "three"};
  Saved saved(image);
  const Archive& archive = saved.file.archive();
  CHECK(ship_all(archive).layers == Layers{0, 1, 2});
  CHECK(ship_all(archive).left_out == 0);
  CHECK(ship_all(archive).layer_bytes == 3008);
  CHECK(ship_above(archive, 2).layers == Layers{2});
  CHECK(ship_above(archive, 2).left_out == 2);
  CHECK(ship_above(archive, 2).layer_bytes == 5);
  CHECK(ship_above(archive, 3).layers.empty());
  CHECK(ship_above(archive, 3).left_out == 3);
}

TEST_CASE("a file that a missing layer needs too stays, in either layout") {
  for (const bool oci : {false, true}) {
    CAPTURE(oci);
    Image image;
    image.layers = {"same", "other", "same", "top"};  // legacy: a symlink; OCI: one blob named twice
    image.oci = oci;
    Saved saved(image);
    const Archive& archive = saved.file.archive();
    CHECK(ship_all(archive).layers == Layers{0, 1, 3});
    const Shipment above_one = ship_above(archive, 1);
    CHECK(above_one.layers == Layers{0, 1, 3});
    CHECK(above_one.left_out == 0);
    const Shipment above_two = ship_above(archive, 2);
    CHECK(above_two.layers == Layers{0, 3});
    CHECK(above_two.left_out == 1);
    const Shipment above_three = ship_above(archive, 3);
    CHECK(above_three.layers == Layers{3});
    CHECK(above_three.left_out == 3);
  }
}

TEST_CASE("a containerd store: only blobs that are known, and only where there is a manifest") {
  Saved saved(oci_image_of({"one", "two", "three"}));
  const Archive& archive = saved.file.archive();
  CHECK(archive.manifest_digest == oci_image_of({"one", "two", "three"}).manifest_digest());
  CHECK(layer_blobs(archive) == std::set<std::string>{"sha256:" + hex_of("one"), "sha256:" + hex_of("two"), "sha256:" + hex_of("three")});
  const Shipment shipment = ship_without(archive, {"sha256:" + hex_of("one"), "sha256:" + hex_of("three"), "sha256:" + hex_of("nine")});
  CHECK(shipment.layers == Layers{1});
  CHECK(shipment.left_out == 2);
  CHECK(ship_without(archive, {}).left_out == 0);

  // The same layers compressed are other blobs, whatever the diff IDs say.
  Image gzipped = oci_image_of({"one", "two", "three"});
  gzipped.compressed = true;
  Saved other(gzipped);
  CHECK(other.file.archive().identity.diff_ids == archive.identity.diff_ids);
  CHECK(ship_without(other.file.archive(), layer_blobs(archive)).left_out == 0);

  Image legacy;
  legacy.layers = {"one", "two", "three"};
  Saved old(legacy);
  CHECK(old.file.archive().manifest_digest.empty());
  CHECK(layer_blobs(old.file.archive()).empty());
  CHECK(ship_without(old.file.archive(), layer_blobs(archive)).left_out == 0);
}

TEST_CASE("the stream with all layers is an archive of the same image, with our tag only") {
  for (const bool oci : {false, true}) {
    for (const bool compressed : {false, true}) {
      CAPTURE(oci);
      CAPTURE(compressed);
      Image image;
      image.layers = {"same", std::string(5000, 'x'), "same", "", "top"};
      image.oci = image.oci_manifest = oci;
      image.compressed = compressed;
      image.repo_tags = {};
      Saved saved(image);
      const Archive& archive = saved.file.archive();
      const std::string bytes = stream_of(saved, ship_all(archive));
      CHECK(bytes.size() % 512 == 0);
      ArchiveVerifier verifier;  // every digest, the end mark, the names of index.json and manifest.json
      verifier.feed(bytes);
      const Archive arrived = verifier.finish();
      CHECK(arrived.identity == archive.identity);
      CHECK(arrived.config_digest == archive.config_digest);
      CHECK(arrived.manifest_digest == archive.manifest_digest);
      CHECK(arrived.manifest_digest.empty() == !oci);
      CHECK(arrived.repo_tags == std::vector<std::string>{"hakuriver/env:loading-1"});
    }
  }
}

TEST_CASE("a thin stream holds the missing layers, the documents and nothing else") {
  for (const bool oci : {false, true}) {
    CAPTURE(oci);
    Image image;
    image.layers = {std::string(50'000, 'b'), "new"};
    image.oci = image.oci_manifest = oci;
    Saved saved(image);
    const std::string bytes = stream_of(saved, ship_above(saved.file.archive(), 1));
    CHECK(bytes.size() < 10'000);
    CHECK(bytes.find("bbbb") == std::string::npos);
    CHECK(bytes.find("new") != std::string::npos);
    CHECK(bytes.find(names_in_stream(saved.file.archive())[0]) != std::string::npos);  // named, as every layer
    CHECK(bytes.starts_with(stream_beginning()) == oci);
    ArchiveVerifier verifier;
    CHECK_THROWS_WITH_AS((verifier.feed(bytes), verifier.finish()), doctest::Contains("is missing"), BadData);
  }
}

TEST_CASE("a manifest counts only if it is of exactly these files") {
  const Image good = oci_image_of({"one", "two"});
  CHECK(Saved(good).file.archive().manifest_digest == good.manifest_digest());

  Image swapped = good;
  swapped.oci_manifest_override = oci_image_of({"two", "one"}).oci_manifest_text();
  CHECK(Saved(swapped).file.archive().manifest_digest.empty());
  Image shorter = good;
  shorter.oci_manifest_override = oci_image_of({"one"}).oci_manifest_text();
  CHECK(Saved(shorter).file.archive().manifest_digest.empty());
  Image wrong_size = good;
  wrong_size.oci_manifest_override = good.oci_manifest_text();
  wrong_size.oci_manifest_override.replace(wrong_size.oci_manifest_override.rfind("\"size\":3"), 8, "\"size\":4");
  CHECK(Saved(wrong_size).file.archive().manifest_digest.empty());
  for (const char* text : {"[]", "{}", R"({"config":1,"layers":[]})", R"({"config":{},"layers":[1,2]})"}) {
    Image odd = good;
    odd.oci_manifest_override = text;
    CAPTURE(text);
    CHECK(Saved(odd).file.archive().manifest_digest.empty());
  }

  Image two = good;  // one for each platform
  const std::string entry = fmt::format(R"({{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":1}})", good.manifest_digest());
  two.index_override = fmt::format(R"({{"manifests":[{},{}]}})", entry, entry);
  CHECK(Saved(two).file.archive().manifest_digest.empty());
  Image nested = good;
  nested.index_override = fmt::format(R"({{"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{}"}}]}})", good.manifest_digest());
  CHECK(Saved(nested).file.archive().manifest_digest.empty());
  Image absent = good;
  absent.index_override = fmt::format(R"({{"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}"}}]}})", hex_of("nobody"));
  CHECK(Saved(absent).file.archive().manifest_digest.empty());

  std::string damaged = good.save();
  damaged.replace(damaged.find("application/vnd.oci.image.layer.v1.tar"), 5, "APPLI");
  TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_archive(folder.write("x-1.tar", damaged)), doctest::Contains("is damaged"), BadData);
  Image twice = good;  // Go's reader would take the second
  twice.oci_manifest_override = good.oci_manifest_text();
  twice.oci_manifest_override.insert(1, R"("Layers":[],)");
  CHECK_THROWS_WITH_AS(read_archive(folder.write("x-2.tar", twice.save())), doctest::Contains("spells 'layers' as 'Layers'"), BadData);
  Image no_json = good;
  no_json.oci_manifest_override = "{";
  CHECK_THROWS_WITH_AS(read_archive(folder.write("x-3.tar", no_json.save())), doctest::Contains("not valid JSON"), BadData);
}

TEST_CASE("with an index only the documents are read; without one, with a false or an old one, the headers") {
  Image image = oci_image_of({std::string(200'000, 'a'), std::string(200'000, 'b')});
  TemporaryFolder folder;
  const auto tar = folder.write("env-1.tar", image.save());
  const auto index = folder.write(".riverbox/env-1.json", "");
  const Archive archive = read_archive(tar);
  const auto opened = [&] {
    ArchiveFile file(tar, index);
    file.read_documents();
    CHECK(file.archive().identity == archive.identity);
    CHECK(file.archive().layers[1].offset == archive.layers[1].offset);
    CHECK(file.archive().manifest_digest == archive.manifest_digest);
    CHECK(file.documents().config == image.config());
    CHECK(file.documents().manifest == image.oci_manifest_text());
    CHECK(file.bytes_read() > image.config().size());
    CHECK(file.bytes_read() < 16'000);
    return file.from_index();
  };
  CHECK_FALSE(opened());
  write_index(index, archive);
  CHECK(opened());
  CHECK(ArchiveFile(tar, index).bytes_read() == std::filesystem::file_size(index));

  const auto lies = [&](const std::function<void(Archive&)>& change) {
    Archive lie = archive;
    change(lie);
    write_index(index, lie);
    CHECK_FALSE(opened());
  };
  lies([](Archive& lie) { lie.identity.created += std::chrono::seconds(1); });
  lies([](Archive& lie) { std::swap(lie.layers[0].diff_id, lie.layers[1].diff_id); });
  lies([](Archive& lie) { lie.config_digest = lie.layers[0].diff_id; });
  lies([](Archive& lie) { lie.config.offset += 1; });
  lies([](Archive& lie) { lie.config = {}; });  // written before there was this key
  lies([](Archive& lie) { lie.config.size_bytes = 1u << 30; });
  lies([](Archive& lie) { lie.manifest_digest = lie.config_digest; });
  lies([](Archive& lie) { lie.manifest = lie.config; });
  lies([](Archive& lie) { lie.layers[0].member = "blobs/sha256/" + std::string(64, '0'); });
}

TEST_CASE("a file that changes while it is open is noticed") {
  TemporaryFolder folder;
  const auto tar = folder.write("env-1.tar", Image{}.save());
  {
    const ArchiveFile file(tar, folder.path() / "none");
    CHECK_NOTHROW(file.check_unchanged());
    std::ofstream(tar, std::ios::app) << "more";
    CHECK_THROWS_WITH_AS(file.check_unchanged(), doctest::Contains("was changed while it was read"), BadData);
  }
  folder.write("env-1.tar", Image{}.save());
  const ArchiveFile file(tar, folder.path() / "none");
  const timespec later[2]{{0, UTIME_OMIT}, {time(nullptr) + 5, 0}};
  utimensat(AT_FDCWD, tar.c_str(), later, 0);
  CHECK_THROWS_AS(file.check_unchanged(), BadData);
}
