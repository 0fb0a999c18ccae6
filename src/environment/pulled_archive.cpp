#include "environment/pulled_archive.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "environment/image_manifest.hpp"
#include "environment/share.hpp"
#include "net/http_client.hpp"
#include "net/url.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

using std::chrono::milliseconds;

constexpr int kTriesWithoutProgress = 5;
constexpr milliseconds kFirstPause{200};
constexpr std::uint64_t kTellPulled = 4u << 20;
constexpr const char* kManifestTypes = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

// The words of an error in the form of the specification.
std::string message_of(const net::Response& response) {
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  if (json.is_object() && json.contains("errors") && json["errors"].is_array() && !json["errors"].empty()) {
    const auto& first = json["errors"][0];
    if (first.is_object() && first.contains("message") && first["message"].is_string()) return printable(first["message"].get<std::string>());
  }
  return printable(net::error_detail(response.body));
}

void check_answer(const net::Response& response, const std::string& url) {
  if (response.status >= 200 && response.status < 300) return;
  const std::string message = message_of(response);
  if (response.status == 404) throw NotFound(message);
  if (response.status == 401) throw Unauthorized(fmt::format("the host at {} does not accept this node's token", url), "Let it join again: on the host, `riverbox node join-command` prints the command.");
  throw Unavailable(fmt::format("the registry of the host at {} answers {}: {}", url, response.status, message));
}

std::string header_of(const net::Response& response, std::string_view lower_name) {
  for (const auto& [name, value] : response.headers)
    if (name == lower_name) return value;
  return {};
}

os::UniqueFd nameless_file(const std::filesystem::path& folder) {
  std::string path = (folder / ".riverbox-pull.XXXXXX").string();
  os::UniqueFd fd(mkostemp(path.data(), O_CLOEXEC));
  if (!fd) throw IoError(fmt::format("create a file in '{}'", folder.string()), errno, "Set [paths] state_dir to a folder with room for the layers of an environment.");
  unlink(path.c_str());
  return fd;
}

void pause(milliseconds time, const CancelToken& cancel) {
  for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;) {
    cancel.check("fetching an environment");
    std::this_thread::sleep_for(milliseconds(50));
  }
}

}  // namespace

struct HostRegistry::Answer {
  std::string body, digest, tarball, signature;
};

HostRegistry::Answer HostRegistry::get(const EnvironmentName& name, const std::string& path, const CancelToken& cancel) const {
  net::HttpClient client(url_, token_);
  net::HttpClient::Options options;
  options.headers = {{"Accept", kManifestTypes}};
  options.total_timeout = milliseconds(0);  // the token has the limit
  auto response = client.request("GET", fmt::format("/v2/{}/{}", name.str(), path), {}, options, cancel);
  check_answer(response, net::shown_host(url_));
  if (response.body.size() > kMaxJsonBytes) throw BadData(fmt::format("the registry of the host at {} answers with {}", net::shown_host(url_), human_bytes(response.body.size())));
  return {std::move(response.body), header_of(response, "docker-content-digest"), header_of(response, "riverbox-tarball"), header_of(response, "riverbox-signature")};
}

std::unique_ptr<PulledArchive> HostRegistry::open(const EnvironmentName& name, const std::string& tag, const CancelToken& cancel) const {
  Answer manifest = get(name, "manifests/" + tag, cancel);
  try {
    const auto named = Share::parse_file_name(manifest.tarball);
    if (!named || named->first != name) throw BadData("it does not say which version that is");
    const RegistryBlob config = config_of_manifest(manifest.body);
    Answer document = get(name, "blobs/" + config.digest, cancel);
    if (Sha256::of(document.body).str() != config.digest) throw BadData("the config is damaged");
    auto image = describe_pulled(std::move(manifest.body), manifest.digest, std::move(document.body));
    if (const size_t colon = manifest.signature.find(':'); colon != std::string::npos)
      image.archive.signature = Signature{manifest.signature.substr(0, colon), manifest.signature.substr(colon + 1)};
    return std::unique_ptr<PulledArchive>(new PulledArchive(*this, name, std::move(manifest.tarball), std::move(image), nameless_file(spool_)));
  } catch (const BadData& error) {
    throw BadData(fmt::format("the registry of the host at {} has no usable image of '{}': {}", net::shown_host(url_), name.str(), error.fact()), error.next());
  }
}

std::vector<std::int64_t> HostRegistry::versions(const EnvironmentName& name, const CancelToken& cancel) const {
  const auto list = parse_untrusted_json(get(name, "tags/list", cancel).body, "the list of tags");
  std::vector<std::int64_t> versions;
  if (const auto tags = list.find("tags"); tags != list.end() && tags->is_array()) {
    for (const auto& tag : *tags)
      if (const auto number = tag.is_string() ? parse_i64(tag.get<std::string>()) : std::nullopt) versions.push_back(*number);
  }
  std::sort(versions.rbegin(), versions.rend());
  return versions;
}

void HostRegistry::download(const EnvironmentName& name, const RegistryBlob& blob, int fd, const CancelToken& cancel,
                            const std::function<void(std::uint64_t bytes)>& tell) const {
  net::HttpClient client(url_, token_);
  Sha256 sha;
  std::uint64_t done = 0, told = 0;
  milliseconds wait = kFirstPause;
  for (int tries = 0; done < blob.span.size_bytes || tries == 0;) {
    const std::uint64_t before = done;
    net::HttpClient::Options options;
    options.total_timeout = milliseconds(0);
    if (done > 0) options.headers = {{"Range", fmt::format("bytes={}-", done)}};
    options.on_body = [&](std::string_view bytes) {
      if (bytes.size() > blob.span.size_bytes - done) throw BadData(fmt::format("the host sends more of {} than it has", blob.digest));
      os::pwrite_all(fd, bytes, blob.span.offset + done, "the layers in [paths] state_dir");
      sha.update(bytes);
      done += bytes.size();
      if (done - told < kTellPulled && done < blob.span.size_bytes) return;
      tell(done - told);
      told = done;
    };
    try {
      const auto response = client.request("GET", fmt::format("/v2/{}/blobs/{}", name.str(), blob.digest), {}, options, cancel);
      check_answer(response, net::shown_host(url_));
      if (done == blob.span.size_bytes) break;
      throw BadData(fmt::format("the host sends {} bytes of {}, which has {}", done, blob.digest, blob.span.size_bytes));
    } catch (const Unavailable& error) {
      if (done > before) {
        tries = 0;
        wait = kFirstPause;
      }
      if (++tries >= kTriesWithoutProgress) throw;
      log::debug("environment", "a download broke; going on where it was", {{"blob", blob.digest}, {"bytes", std::to_string(done)}, {"reason", error.fact()}});
      pause(wait, cancel);
      wait *= 2;
    }
  }
  if (const std::string found = sha.finish().str(); found != blob.digest)
    throw BadData(fmt::format("the file of a layer has the digest {} instead of {}", found, blob.digest), "Look at it on the host with `riverbox docker verify`.");
}

PulledArchive::PulledArchive(const HostRegistry& host, EnvironmentName name, std::string tarball, DescribedImage image, os::UniqueFd fd)
    : ArchiveFile(tarball, std::move(fd), std::move(image.archive), std::move(image.documents)), host_(host), name_(std::move(name)), tarball_(std::move(tarball)),
      here_(archive().layers.size(), false) {}

void PulledArchive::fetch(const std::vector<std::size_t>& layers, const CancelToken& cancel, const std::function<void(std::uint64_t bytes)>& tell) {
  std::uint64_t bytes = 0;
  for (const std::size_t i : layers) {
    const Layer& layer = archive().layers[i];
    if (!here_[i]) {
      const std::uint64_t before = bytes;
      host_.download(name_, {"sha256:" + layer.member.substr(std::string_view("blobs/sha256/").size()), {layer.offset, layer.size_bytes}}, fd(), cancel,
                     [&](std::uint64_t more) { tell(bytes += more); });
      bytes = before;
      here_[i] = true;
      count_read(layer.size_bytes);
    }
    bytes += layer.size_bytes;
    tell(bytes);
  }
}

}  // namespace riverbox::environment
