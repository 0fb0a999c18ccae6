// The pull side of the OCI distribution API (docs/api.md, "Registry").
#include <algorithm>

#include <fmt/format.h>

#include "api/file_answer.hpp"
#include "api/handlers.hpp"
#include "api/registry.hpp"
#include "api/services.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr const char* kVersionHeader = "Docker-Distribution-Api-Version";
constexpr const char* kVersionValue = "registry/2.0";
constexpr std::size_t kMaxEntries = 1000;  // of one page

net::Response translated(const std::exception& error) {
  if (const auto* known = dynamic_cast<const host::RegistryError*>(&error)) return registry_error(status_of(error), known->code(), error.what());
  log::warning("registry", "a pull failed", {{"reason", error.what()}});
  return registry_error(status_of(error), "UNKNOWN", error.what());
}

// The errors of `work` in the form that pullers read.
template <class Work>
void answering(const CallPtr& call, Work work) {
  try {
    work();
  } catch (const std::exception& error) {
    call->responder->send(translated(error));
  }
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

// What never changes may be kept for ever by whoever may see it.
void add_blob_headers(net::Response& response, const std::string& digest) {
  response.headers = {{kVersionHeader, kVersionValue}, {"Docker-Content-Digest", digest}, {"ETag", quoted(digest)}};
}

net::Response not_modified(const std::string& digest) {
  net::Response response{.status = 304, .content_type = ""};
  add_blob_headers(response, digest);
  return response;
}

// "?n=" and "?last=", and the Link to the next page (RFC 8288).
void reply_page(const CallPtr& call, const std::string& path, const char* key, nlohmann::ordered_json body, const std::vector<std::string>& sorted) {
  const auto& query = call->request.query;
  std::size_t count = kMaxEntries;
  if (const auto n = query.find("n"); n != query.end()) {
    const auto number = parse_u64(n->second);
    if (!number) throw host::RegistryError(ErrorKind::invalid_input, "PAGINATION_NUMBER_INVALID", "'n' must be a number of entries");
    count = static_cast<std::size_t>(std::min<std::uint64_t>(*number, kMaxEntries));
  }
  const auto last = query.find("last");
  const auto page = environment::page_of(sorted, count, last == query.end() ? std::string_view() : std::string_view(last->second));
  body[key] = page.entries;
  auto response = json_response(body);
  response.headers = {{kVersionHeader, kVersionValue}};
  if (page.more) response.headers.emplace_back("Link", fmt::format("<{}?n={}&last={}>; rel=\"next\"", path, count, percent_encoded(page.entries.back())));
  call->responder->send(std::move(response));
}

// A puller that lists what it can read and does not list this cannot be served: the bytes behind a digest are what they are.
bool accepts(const std::string* accept, const std::string& media_type) {
  if (!accept || trim(*accept).empty()) return true;
  for (const std::string& part : split(*accept, ',')) {
    const std::string type = to_lower(trim(std::string_view(part).substr(0, part.find(';'))));
    if (type == "*/*" || type == "application/*" || type == media_type) return true;
  }
  return false;
}

void send_manifest(const CallPtr& call, const host::Registry::Manifest& manifest) {
  if (!accepts(call->request.header("accept"), manifest.media_type))
    throw host::RegistryError(ErrorKind::not_found, "MANIFEST_UNKNOWN", fmt::format("this manifest is of the type {}, which the Accept header does not list", manifest.media_type),
                              "Pull with a client that reads OCI images: Docker 19.03, podman, skopeo, containerd, or newer.");
  if (net::names_etag(call->request.header("if-none-match"), quoted(manifest.digest))) return call->responder->send(not_modified(manifest.digest));
  net::Response response{.content_type = manifest.media_type, .body = manifest.bytes};
  add_blob_headers(response, manifest.digest);
  response.headers.emplace_back("Riverbox-Tarball", manifest.tarball);
  if (manifest.signature) response.headers.emplace_back("Riverbox-Signature", printable(manifest.signature->key_id, 32) + ":" + printable(manifest.signature->value, 256));
  call->responder->send(std::move(response));
}

void send_blob(const CallPtr& call, const std::string& digest, const host::Registry::Blob& blob) {
  const auto& request = call->request;
  const std::string etag = quoted(digest);
  if (net::names_etag(request.header("if-none-match"), etag)) return call->responder->send(not_modified(digest));
  const auto wish = net::parse_range(request.header("range"), request.header("if-range"), etag, blob.span.size_bytes);
  if (wish.kind == net::RangeWish::Kind::unsatisfiable)
    return call->responder->send(nothing_at_range(registry_error(416, "RANGE_INVALID", fmt::format("the blob has {} bytes", blob.span.size_bytes)), blob.span.size_bytes));
  net::Response head{.content_type = "application/octet-stream"};
  add_blob_headers(head, digest);
  send_part_of_file(call, with_range(std::move(head), wish, blob.span.size_bytes), blob.fd.get(), blob.path, blob.span.offset + wish.offset, wish.size_bytes);
}

// First the quick way; where the digests of compressed layers have to be found by reading, once more where minutes do not matter.
template <class Find, class Send>
void find_and_send(const CallPtr& call, Find find, Send send) {
  answering(call, [&] {
    if (const auto found = find(false)) return send(*found);
    on_lane(call, Lane::slow, [call, find, send] {
      answering(call, [&] { send(*find(true)); });
    });
  });
}

}  // namespace

bool is_registry_path(std::string_view path) {
  if (path.starts_with("/api/")) path.remove_prefix(4);
  return path == "/v2" || path.starts_with("/v2/");
}

net::Response registry_error(int status, std::string_view code, std::string_view message) {
  auto response = json_response({{"errors", nlohmann::ordered_json::array({{{"code", code}, {"message", message}, {"detail", nullptr}}})}}, status);
  response.headers = {{kVersionHeader, kVersionValue}};
  return response;
}

net::Response registry_challenge() {
  auto response = registry_error(401, "UNAUTHORIZED", "this registry wants a token: any user name, and a token of the host as password");
  response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"riverbox\"");
  return response;
}

net::Response registry_refusal(const std::string& method, bool known_path) {
  const bool reads = method == "GET";
  if (reads && !known_path) return registry_error(404, "NAME_UNKNOWN", "there is nothing here: repositories are environments, whose names have no '/'");
  auto response = registry_error(405, "UNSUPPORTED", "this registry can only be pulled from. Environments are published with create-tar");
  response.headers.emplace_back("Allow", "GET, HEAD");
  return response;
}

void registry_root(CallPtr call) {
  auto response = json_response(nlohmann::ordered_json::object());
  response.headers = {{kVersionHeader, kVersionValue}};
  call->responder->send(std::move(response));
}

void registry_catalog(CallPtr call) {
  answering(call, [&] { reply_page(call, "/v2/_catalog", "repositories", {}, call->services.registry.repositories()); });
}

void registry_tags(CallPtr call) {
  answering(call, [&] {
    const auto& name = call->parameter("name");
    reply_page(call, "/v2/" + name + "/tags/list", "tags", {{"name", name}}, call->services.registry.tags(name));
  });
}

void registry_manifest(CallPtr call) {
  const auto find = [call](bool may_read_layers) {
    return call->services.registry.manifest(call->parameter("name"), call->parameter("reference"), may_read_layers);
  };
  find_and_send(call, find, [call](const host::Registry::Manifest& manifest) { send_manifest(call, manifest); });
}

void registry_blob(CallPtr call) {
  const auto find = [call](bool may_read_layers) {
    return call->services.registry.blob(call->parameter("name"), call->parameter("digest"), may_read_layers);
  };
  find_and_send(call, find, [call](const host::Registry::Blob& blob) { send_blob(call, call->parameter("digest"), blob); });
}

}  // namespace riverbox::api
