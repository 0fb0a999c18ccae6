// Archives that we write: their form, what is taken over from an older one, and the record of a layer that they are rebuilt from.
#include <doctest/doctest.h>
#include <fcntl.h>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/archive_builder.hpp"
#include "environment/layer_bytes.hpp"
#include "environment/tar_format.hpp"
#include "environment/tar_split.hpp"
#include "image_builder.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

class MemorySource : public LayerSource {
public:
  explicit MemorySource(testing::Image image) : image_(std::move(image)) {}
  std::string config() override { return image_.config(); }
  void write_layer(size_t index, ByteSink& sink) override {
    ++written;
    sink.write(image_.layers.at(index));
  }
  std::vector<std::string> diff_ids() const {
    std::vector<std::string> ids;
    for (const auto& layer : image_.layers) ids.push_back("sha256:" + testing::hex_of(layer));
    return ids;
  }
  int written = 0;

private:
  testing::Image image_;
};

struct Built {
  Archive archive;
  size_t taken_over = 0;
  int written = 0;
  std::string bytes;
};

Built build(const std::filesystem::path& path, const testing::Image& image, const std::filesystem::path& older = {}, Compression compression = Compression::none) {
  const os::UniqueFd fd = os::open_at(path, O_RDWR | O_CREAT | O_TRUNC);
  MemorySource source(image);
  Built built;
  ArchiveBuilder builder(fd.get(), path, compression, [](std::uint64_t) {});
  if (!older.empty()) built.taken_over = builder.take_over(older, read_archive(older), source.diff_ids());
  for (size_t i = built.taken_over; i < image.layers.size(); ++i) builder.add_layer(source.diff_ids()[i], source, i);
  built.archive = builder.finish(source.config(), source.diff_ids(), "hakuriver/env:base");
  built.written = source.written;
  built.bytes = os::read_file(path);
  return built;
}

std::string line(const std::string& json) { return json + "\n"; }

struct Record {
  std::string told;
  TarSplitParser parser{{.bytes = [this](std::string_view bytes) { told += "bytes(" + std::string(bytes) + ")"; },
                         .file = [this](const std::string& path, std::uint64_t size) { told += fmt::format("file({},{})", path, size); }}};
};

std::string parsed(const std::string& text) {
  Record record;
  record.parser.feed(testing::gzip(text));
  record.parser.finish();
  return record.told;
}

}  // namespace

TEST_CASE("a written archive holds the image in the form that every engine loads") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {std::string(3'000'000, 'a'), "small", std::string()};
  const Built built = build(folder.path() / "a.tar", image);
  CHECK(built.archive.identity.diff_ids == MemorySource(image).diff_ids());
  CHECK(built.archive.config_digest == "sha256:" + testing::hex_of(image.config()));
  CHECK(built.archive.repo_tags == std::vector<std::string>{"hakuriver/env:base"});
  CHECK_FALSE(built.archive.manifest_digest.empty());
  CHECK(built.archive.layers[0].offset == 512);
  CHECK(built.archive.layers[1].offset == 512 + padded(3'000'000) + 512);
  CHECK(verify_archive(folder.path() / "a.tar", CancelToken{}).identity == built.archive.identity);
  CHECK(build(folder.path() / "b.tar", image).bytes == built.bytes);
}

TEST_CASE("what an older version begins with is taken over, not written again") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {std::string(1'500'000, 'a'), "second"};
  build(folder.path() / "old.tar", image);
  testing::Image longer = image;
  longer.layers.push_back("third");
  const Built built = build(folder.path() / "new.tar", longer, folder.path() / "old.tar");
  CHECK(built.taken_over == 2);
  CHECK(built.written == 1);
  CHECK(built.bytes == build(folder.path() / "afresh.tar", longer).bytes);

  testing::Image other = longer;
  other.layers[1] = "another";
  CHECK(build(folder.path() / "other.tar", other, folder.path() / "new.tar").taken_over == 1);
  other.layers[0] = "wholly another";
  CHECK(build(folder.path() / "other.tar", other, folder.path() / "new.tar").taken_over == 0);
  testing::Image shorter = image;
  shorter.layers.pop_back();
  CHECK(build(folder.path() / "short.tar", shorter, folder.path() / "new.tar").bytes == build(folder.path() / "afresh.tar", shorter).bytes);
}

TEST_CASE("packed layers: the same image, smaller, the same bytes every time") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {std::string(3'500'000, 'a'), "small", std::string()};  // more than one gzip member, and one of nothing
  const auto path = folder.path() / "packed.tar";
  const Built packed = build(path, image, {}, Compression::gzip);
  CHECK(packed.archive.identity.diff_ids == MemorySource(image).diff_ids());
  CHECK(packed.archive.config_digest == "sha256:" + testing::hex_of(image.config()));
  CHECK_FALSE(packed.archive.manifest_digest.empty());
  CHECK(packed.archive.layers[0].compressed);
  CHECK(packed.archive.layers[0].member != "blobs/sha256/" + packed.archive.layers[0].diff_id.substr(7));
  CHECK(packed.archive.size_bytes < 100'000);
  CHECK(verify_archive(path, CancelToken{}).identity == packed.archive.identity);
  CHECK(build(folder.path() / "again.tar", image, {}, Compression::gzip).bytes == packed.bytes);
  const auto fd = os::open_read(path);
  CHECK(open_layer(fd.get(), path, packed.archive.layers[0])->read(4'000'000) == image.layers[0]);
  CHECK(open_layer(fd.get(), path, packed.archive.layers[2])->read(1) == "");
}

TEST_CASE("layers that are taken over stay as they are, packed or not") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {std::string(1'500'000, 'a'), "second"};
  testing::Image longer = image;
  longer.layers.push_back("third");
  for (const auto& [before, after] : {std::pair{Compression::none, Compression::gzip}, {Compression::gzip, Compression::none}, {Compression::gzip, Compression::gzip}}) {
    build(folder.path() / "old.tar", image, {}, before);
    const Built built = build(folder.path() / "new.tar", longer, folder.path() / "old.tar", after);
    CHECK(built.taken_over == 2);
    CHECK(built.archive.layers[1].compressed == (before == Compression::gzip));
    CHECK(built.archive.layers[2].compressed == (after == Compression::gzip));
    CHECK_FALSE(built.archive.manifest_digest.empty());
    CHECK(verify_archive(folder.path() / "new.tar", CancelToken{}).identity == built.archive.identity);
  }
}

TEST_CASE("a copy that fails leaves nothing in the file") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {std::string(1'500'000, 'a'), "second"};
  const auto old_path = folder.path() / "old.tar", path = folder.path() / "new.tar";
  const Archive older = build(old_path, image).archive;
  std::filesystem::resize_file(old_path, 1'000'000);  // since its index was read
  const os::UniqueFd fd = os::open_at(path, O_RDWR | O_CREAT | O_TRUNC);
  MemorySource source(image);
  ArchiveBuilder builder(fd.get(), path, Compression::none, [](std::uint64_t) {});
  CHECK_THROWS_AS(builder.take_over(old_path, older, source.diff_ids()), Error);
  for (size_t i = 0; i < 2; ++i) builder.add_layer(source.diff_ids()[i], source, i);
  builder.finish(source.config(), source.diff_ids(), "hakuriver/env:base");
  CHECK(os::read_file(path) == build(folder.path() / "afresh.tar", image).bytes);
}

TEST_CASE("nothing is taken over from an archive of another form") {
  testing::TemporaryFolder folder;
  for (const bool oci : {false, true}) {
    for (const bool compressed : {false, true}) {
      testing::Image image;
      image.oci = oci;
      image.compressed = compressed;
      folder.write("engine.tar", image.save());
      const Built built = build(folder.path() / "new.tar", image, folder.path() / "engine.tar");
      CHECK(built.taken_over == 0);
      CHECK(verify_archive(folder.path() / "new.tar", CancelToken{}).identity == built.archive.identity);
    }
  }
}

TEST_CASE("equal layers are stored once, also across what was taken over") {
  testing::TemporaryFolder folder;
  testing::Image image;
  image.layers = {"same", "between", "same"};
  const Built built = build(folder.path() / "a.tar", image);
  CHECK(built.written == 2);
  CHECK(built.archive.layers[0].offset == built.archive.layers[2].offset);
  image.layers.push_back("same");
  const Built next = build(folder.path() / "b.tar", image, folder.path() / "a.tar");
  CHECK(next.taken_over == 3);
  CHECK(next.written == 0);
  CHECK(verify_archive(folder.path() / "b.tar", CancelToken{}).layers.size() == 4);
}

TEST_CASE("a layer with another digest than promised is refused") {
  testing::TemporaryFolder folder;
  const os::UniqueFd fd = os::open_at(folder.path() / "a.tar", O_RDWR | O_CREAT);
  MemorySource source{testing::Image{}};
  ArchiveBuilder builder(fd.get(), folder.path() / "a.tar", Compression::none, [](std::uint64_t) {});
  CHECK_THROWS_WITH_AS(builder.add_layer("sha256:" + std::string(64, '0'), source, 0), doctest::Contains("layer 1 has the digest"), UnusableSource);
}

TEST_CASE("headers of our own are read back, also of layers beyond 8 GiB") {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, (std::uint64_t{1} << 33) - 1, std::uint64_t{1} << 33, std::uint64_t{30} << 30}) {
    const auto header = decode_tar_header(encode_tar_header("blobs/sha256/abc", size));
    REQUIRE(header);
    CHECK(header->size_bytes == size);
    CHECK(header->name == "blobs/sha256/abc");
    CHECK(header->type == '0');
  }
}

TEST_CASE("the record of a layer: bytes and files in their order") {
  CHECK(parsed(line(R"({"type":2,"payload":"aGVhZA==","position":0})") + line(R"({"type":1,"name":"usr/a\u003cb","size":7,"payload":"AAA=","position":1})") +
               line(R"({"type":1,"name":"empty","payload":null,"position":2})") + R"({"type":1,"name_raw":"eP95","size":9,"position":3})") ==
        "bytes(head)file(usr/a<b,7)file(x\xffy,9)");
  Record record;  // byte by byte
  for (const char c : testing::gzip(line(R"({"type":2,"payload":"eA=="})"))) record.parser.feed({&c, 1});
  record.parser.finish();
  CHECK(record.told == "bytes(x)");
}

TEST_CASE("a damaged record is refused") {
  for (const char* bad : {"{", "[]", "7", R"({"type":1,"size":-1,"name":"x"})", R"({"type":3})", R"({"name":"x"})", R"({"type":2,"payload":"?"})",
                          R"({"type":1,"size":1,"name":{"a":1}})"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parsed(line(bad)), BadData);
  }
  Record record;
  const std::string good = testing::gzip(line(R"({"type":2,"payload":"eA=="})"));
  record.parser.feed(std::string_view(good).substr(0, good.size() - 3));
  CHECK_THROWS_AS(record.parser.finish(), BadData);
  Record more;
  CHECK_THROWS_AS(more.parser.feed(good + "x"), BadData);
  CHECK_THROWS_AS(Record().parser.feed("plain text, longer than a header"), BadData);
}
