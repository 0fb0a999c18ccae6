#include <doctest/doctest.h>

#include "../mentions.hpp"
#include "base/error.hpp"
#include "environment/archive.hpp"
#include "environment/archive_writer.hpp"
#include "environment/gzip_hasher.hpp"
#include "image_builder.hpp"
#include "os/fd.hpp"

#include <fcntl.h>

using namespace riverbox;
using namespace riverbox::environment;
using testing::Image;
using testing::TarBuilder;
using testing::TemporaryFolder;

namespace {

Archive verify(const std::string& bytes, size_t chunk = 4096) {
  ArchiveVerifier verifier;
  for (size_t at = 0; at < bytes.size(); at += chunk) verifier.feed(std::string_view(bytes).substr(at, chunk));
  return verifier.finish();
}

std::string verdict(const std::string& bytes) {
  try {
    verify(bytes, 1000);
  } catch (const BadData& error) {
    return error.fact();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("the verifier says the same as the reader, however the bytes come") {
  for (const bool oci : {false, true}) {
    for (const bool compressed : {false, true}) {
      Image image;
      image.oci = oci;
      image.compressed = compressed;
      image.layers = {"one", std::string(5000, 'y'), "one", std::string(512, 'z')};
      TarBuilder tar;
      tar.long_name(std::string(200, 'n')).add("short", "x");
      const std::string bytes = tar.open_end() + image.save();
      TemporaryFolder folder;
      const Archive expected = read_archive(folder.write("env-1.tar", bytes));
      for (const size_t chunk : {1, 7, 511, 512, 513, 1000, 4096, 1 << 20}) {
        CAPTURE(chunk);
        const Archive archive = verify(bytes, chunk);
        CHECK(archive.identity == expected.identity);
        CHECK(archive.config_digest == expected.config_digest);
        CHECK(archive.size_bytes == bytes.size());
        CHECK(archive.repo_tags == expected.repo_tags);
        REQUIRE(archive.layers.size() == expected.layers.size());
        for (size_t i = 0; i < archive.layers.size(); ++i) {
          CHECK(archive.layers[i].offset == expected.layers[i].offset);
          CHECK(archive.layers[i].compressed == expected.layers[i].compressed);
        }
      }
    }
  }
}

// fault: archive-damaged
TEST_CASE("a flipped bit anywhere in a layer or the config is found") {
  for (const bool oci : {false, true}) {
    for (const bool compressed : {false, true}) {
      Image image;
      image.oci = oci;
      image.compressed = compressed;
      const std::string bytes = image.save();
      TemporaryFolder folder;
      const Archive archive = read_archive(folder.write("env-1.tar", bytes));
      for (const Layer& layer : archive.layers) {
        for (const std::uint64_t at : {layer.offset, layer.offset + layer.size_bytes / 2, layer.offset + layer.size_bytes - 1}) {
          CAPTURE(at);
          std::string spoilt = bytes;
          spoilt[at] ^= 4;
          CHECK(mentions(verdict(spoilt), "damaged"));
        }
      }
      std::string spoilt = bytes;
      spoilt[bytes.find("amd64")] = 'A';
      CHECK(verdict(spoilt) != "accepted");
    }
  }
}

// fault: archive-damaged
TEST_CASE("truncation is found at every block and by one byte") {
  const std::string bytes = Image{}.save();
  for (size_t size = 0; size < bytes.size(); size += 512) {
    CAPTURE(size);
    CHECK(verdict(bytes.substr(0, size)) != "accepted");
  }
  CHECK(mentions(verdict(bytes.substr(0, bytes.size() - 1)), "truncated"));
  CHECK(mentions(verdict(""), "empty"));
  CHECK(verdict(bytes + std::string(8192, '\0')) == "accepted");  // GNU tar fills up its records
  CHECK(mentions(verdict(bytes + std::string(100, '\0')), "truncated"));
}

TEST_CASE("the end mark: none, half of it, and garbage after it") {
  const std::string members = Image{}.members().open_end();
  CHECK(mentions(verdict(members), "no end mark"));
  CHECK(mentions(verdict(members + std::string(512, '\0')), "no end mark"));
  CHECK(mentions(verdict(members + std::string(1024, '\0') + std::string(512, 'g')), "follows the end"));
}

TEST_CASE("an image that a containerd store saved without its layers is refused") {
  Image image;
  image.oci = true;
  TarBuilder tar;
  tar.add("index.json", R"({"manifests":[]})").add("manifest.json", image.manifest()).add("oci-layout", "{}");
  CHECK(mentions(verdict(tar.finish()), "missing"));
}

TEST_CASE("a blob under a wrong name is refused, also one that nobody asks for") {
  Image image;
  image.oci = true;
  TarBuilder tar;
  tar.add("blobs/sha256/" + std::string(64, '0'), "not zeros");
  CHECK(mentions(verdict(tar.open_end() + image.save()), "is damaged"));
  TarBuilder other;
  other.add("blobs/md5/d41d8cd98f00b204e9800998ecf8427e", "");
  CHECK(mentions(verdict(other.open_end() + image.save()), "unknown kind"));
  TarBuilder shouting;
  shouting.add("blobs/sha256/" + std::string(64, 'A'), "");
  CHECK(mentions(verdict(shouting.open_end() + image.save()), "malformed"));
}

TEST_CASE("a compressed layer that holds another layer is refused, whatever its blob is called") {
  Image image;
  image.oci = image.compressed = true;
  image.layers = {"the truth"};
  Image liar = image;
  liar.layers = {"another layer"};
  liar.config_override = image.config();
  CHECK(mentions(verdict(liar.save()), "layer 1"));
}

TEST_CASE("gzip: streams in a row are one, trailing bytes are an error") {
  const auto hash = [](const std::string& bytes, size_t chunk) {
    GzipHasher hasher;
    for (size_t at = 0; at < bytes.size(); at += chunk) hasher.feed(std::string_view(bytes).substr(at, chunk));
    return hasher.ok() ? hasher.finish() : std::string("broken");
  };
  const std::string long_text(300'000, 'q');
  for (const size_t chunk : {1, 5, 4096, 1 << 20}) {
    CHECK(hash(testing::gzip("abc") + testing::gzip("def"), chunk) == "sha256:" + testing::hex_of("abcdef"));
    CHECK(hash(testing::gzip(long_text), chunk) == "sha256:" + testing::hex_of(long_text));
    CHECK(hash(testing::gzip("abc") + "garbage", chunk) == "broken");
    CHECK(hash(testing::gzip("abc").substr(0, 15), chunk) == "broken");
    CHECK(hash("\x1fno gzip", chunk) == "broken");
  }
}

TEST_CASE("a whole file is verified, and the message names it") {
  TemporaryFolder folder;
  Image image;
  const auto good = folder.write("env-1.tar", image.save());
  CHECK(verify_archive(good, CancelToken{}).identity == read_archive(good).identity);
  std::string bytes = image.save();
  bytes[read_archive(good).layers[1].offset] ^= 1;
  const auto bad = folder.write("env-2.tar", bytes);
  CHECK_NOTHROW(read_archive(bad));  // the headers are whole
  try {
    verify_archive(bad, CancelToken{});
    FAIL("a damaged layer was accepted");
  } catch (const BadData& error) {
    CHECK(mentions(error.what(), "env-2.tar"));
    CHECK(mentions(error.what(), "layer 2"));
  }
  CancelToken cancelled;
  cancelled.cancel();
  CHECK_THROWS_AS(verify_archive(good, cancelled), Cancelled);
}

TEST_CASE("the writer puts every byte into the file") {
  TemporaryFolder folder;
  Image image;
  std::string big;
  for (int i = 0; i < 300'000; ++i) big += fmt::format("line {}\n", i);
  image.layers.push_back(big);
  const std::string bytes = image.save();
  const auto path = folder.path() / "out.tar";
  const auto fd = os::open_at(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  ArchiveWriter writer(fd.get(), path);
  for (size_t at = 0; at < bytes.size(); at += 32'768) writer.write(std::string_view(bytes).substr(at, 32'768));
  CHECK(writer.finish().layers.size() == 3);
  CHECK(os::read_file(path) == bytes);
}
