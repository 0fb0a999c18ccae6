// The runner's side against a server that is a registry of one version, honest or not.
#include <doctest/doctest.h>

#include <map>
#include <mutex>

#include "../net/fixture.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/pulled_archive.hpp"
#include "image_builder.hpp"
#include "net/range.hpp"
#include "os/fd.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::hex_of;
using testing::Image;

namespace {

class OneVersion {
public:
  explicit OneVersion(const Image& image) : image_(image), server_({.http = [this](net::Request r, std::shared_ptr<net::Responder> w) { answer(r, *w); }, .upgrade = {}}) {
    blobs["sha256:" + hex_of(image.config())] = image.config();
    for (size_t i = 0; i < image.layers.size(); ++i) blobs["sha256:" + hex_of(image.stored(i))] = image.stored(i);
  }
  HostRegistry client() const { return {server_.url(), "secret", folder_.path()}; }
  bool spool_is_empty() const { return std::filesystem::is_empty(folder_.path()); }
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

  std::map<std::string, std::string> blobs;
  std::string tarball = "env-5.tar";
  size_t cut_after = 0;  // bytes of a blob, then the connection breaks
  int cuts = 0;          // how often
  int status = 0;        // instead of any answer

private:
  void answer(const net::Request& request, net::Responder& responder) {
    const std::string range = request.header("range") ? *request.header("range") : "";
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request.path.substr(request.path.rfind('/') + 1) + (range.empty() ? "" : " " + range));
    }
    if (status) return responder.send({.status = status, .body = R"({"errors":[{"code":"X","message":"so it is"}]})"});
    CHECK(*request.header("authorization") == "Bearer secret");
    if (request.path == "/v2/env/tags/list") return responder.send({.body = R"({"name":"env","tags":["4","5","latest"]})"});
    if (request.path == "/v2/env/manifests/latest")
      return responder.send({.content_type = "application/vnd.oci.image.manifest.v1+json", .body = image_.oci_manifest_text(),
                             .headers = {{"Docker-Content-Digest", image_.manifest_digest()}, {"Riverbox-Tarball", tarball}}});
    const auto found = blobs.find(request.path.substr(request.path.rfind('/') + 1));
    if (found == blobs.end()) return responder.send({.status = 404, .body = R"({"errors":[{"code":"BLOB_UNKNOWN","message":"no such blob"}]})"});
    const auto wish = net::parse_range(request.header("range"), nullptr, "", found->second.size());
    const bool cut = found->second.size() > cut_after && cuts > 0;
    if (cut) --cuts;
    responder.stream({.status = wish.kind == net::RangeWish::Kind::part ? 206 : 200, .headers = {{"Content-Length", std::to_string(wish.size_bytes)}}}, [&](net::BodyWriter& out) {
      const std::string bytes = found->second.substr(wish.offset, wish.size_bytes);
      out.write(cut ? bytes.substr(0, std::min(cut_after, bytes.size() - 1)) : bytes);
      // An error here resets the connection, and a reset takes unread bytes with it: a pause lets them arrive.
      if (cut) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (cut) throw Unavailable("cut");
    });
  }

  Image image_;
  testing::TemporaryFolder folder_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  test::TestServer server_;
};

Image oci_image() {
  Image image;
  image.oci = image.oci_manifest = true;
  image.layers = {"below", std::string(300'000, 'b'), std::string(500'000, 'c')};
  return image;
}

const auto kName = EnvironmentName::parse("env");
const auto kSilent = [](std::uint64_t) {};

std::string layer_bytes(const PulledArchive& archive, size_t i) {
  const auto& layer = archive.archive().layers[i];
  return os::pread_exact(archive.fd(), layer.size_bytes, static_cast<off_t>(layer.offset), "spool");
}

}  // namespace

TEST_CASE("documents first, and then only the layers that are wanted, each once") {
  const Image image = oci_image();
  OneVersion host(image);
  const auto registry = host.client();
  const auto archive = registry.open(kName, "latest", {});
  CHECK(archive->tarball() == "env-5.tar");
  CHECK(archive->documents().manifest == image.oci_manifest_text());
  CHECK(host.asked() == std::vector<std::string>{"latest", "sha256:" + hex_of(image.config())});
  std::uint64_t told = 0;
  archive->fetch({1, 2}, {}, [&](std::uint64_t bytes) {
    CHECK(bytes >= told);
    told = bytes;
  });
  CHECK(told == 800'000);
  CHECK(archive->bytes_read() == 800'000);
  CHECK(layer_bytes(*archive, 1) == image.layers[1]);
  CHECK(layer_bytes(*archive, 2) == image.layers[2]);
  CHECK(host.asked().size() == 4);
  archive->fetch({0, 1, 2}, {}, kSilent);
  CHECK(layer_bytes(*archive, 0) == "below");
  CHECK(host.asked().size() == 5);
  CHECK(host.spool_is_empty());  // no name leads to what was fetched
  CHECK(registry.versions(kName, {}) == std::vector<std::int64_t>{5, 4});
}

// fault: share-stale
TEST_CASE("a connection that breaks is taken up where it broke") {
  const Image image = oci_image();
  OneVersion host(image);
  const auto registry = host.client();
  const auto archive = registry.open(kName, "latest", {});
  host.cut_after = 100'000;
  host.cuts = 2;
  archive->fetch({2}, {}, kSilent);
  CHECK(layer_bytes(*archive, 2) == image.layers[2]);
  const auto asked = host.asked();
  REQUIRE(asked.size() == 5);
  CHECK(asked[3].find(" bytes=") != std::string::npos);
  CHECK(asked[4].find(" bytes=") != std::string::npos);
}

TEST_CASE("a layer that is not what its digest says is no layer") {
  const Image image = oci_image();
  OneVersion host(image);
  const auto registry = host.client();
  const auto archive = registry.open(kName, "latest", {});
  auto& bytes = host.blobs.at("sha256:" + hex_of(image.layers[1]));
  bytes[7] = 'X';
  CHECK_THROWS_AS(archive->fetch({1}, {}, kSilent), BadData);
  bytes += "more";
  CHECK_THROWS_AS(archive->fetch({1}, {}, kSilent), BadData);
  bytes.resize(10);
  CHECK_THROWS_AS(archive->fetch({1}, {}, kSilent), BadData);
}

TEST_CASE("a version that is deleted meanwhile, and a host that refuses") {
  const Image image = oci_image();
  OneVersion host(image);
  const auto registry = host.client();
  const auto archive = registry.open(kName, "latest", {});
  host.blobs.erase("sha256:" + hex_of(image.layers[1]));
  CHECK_THROWS_AS(archive->fetch({1}, {}, kSilent), NotFound);
  host.status = 401;
  CHECK_THROWS_AS(registry.open(kName, "latest", {}), Unauthorized);
  host.status = 500;
  CHECK_THROWS_WITH_AS(registry.open(kName, "latest", {}), doctest::Contains("so it is"), Unavailable);
}

TEST_CASE("answers that do not fit together are refused") {
  Image image = oci_image();
  {
    OneVersion host(image);
    host.tarball = "other-5.tar";
    CHECK_THROWS_AS(host.client().open(kName, "latest", {}), BadData);
  }
  {
    OneVersion host(image);
    host.blobs.at("sha256:" + hex_of(image.config())) += " ";
    CHECK_THROWS_AS(host.client().open(kName, "latest", {}), BadData);
  }
  image.oci_manifest_override = R"({"schemaVersion":2,"manifests":[]})";
  OneVersion host(image);
  CHECK_THROWS_AS(host.client().open(kName, "latest", {}), BadData);
}

TEST_CASE("cancelled while nothing comes") {
  OneVersion host(oci_image());
  const auto registry = host.client();
  const auto archive = registry.open(kName, "latest", {});
  CancelToken cancel;
  cancel.cancel();
  CHECK_THROWS_AS(archive->fetch({1}, cancel, kSilent), Cancelled);
}
