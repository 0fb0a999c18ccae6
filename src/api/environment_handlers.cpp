#include <fcntl.h>
#include <unistd.h>

#include "api/handlers.hpp"
#include "api/progress.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::api {
namespace {

std::string text_field(const nlohmann::json& body, const char* name) {
  auto it = body.find(name);
  if (it == body.end() || !it->is_string()) throw InvalidInput(std::string("the request needs \"") + name + "\", a string");
  return it->get<std::string>();
}

// HakuRiver says "Container 'x' started.", KohakuRiver "Environment 'x' started successfully."
Json done_message(const Call& call, const std::string& name, const std::string& verb) {
  if (call.dialect == Dialect::classic) return {{"message", "Container '" + name + "' " + verb + "."}};
  return {{"message", "Environment '" + name + "' " + verb + " successfully."}};
}

}  // namespace

void list_containers(CallPtr call) {
  bool all = call->dialect == Dialect::classic || call->request.query.contains("all");
  Json out = Json::array();
  for (const auto& container : call->services.environments.list())
    if (all || container.managed) out.push_back(container_shape(container, call->dialect));
  call->reply(out);
}

void create_container(CallPtr call) {
  auto body = call->body();
  auto image = text_field(body, "image_name"), name = text_field(body, "container_name");
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
    auto created = call->services.environments.create(image, name, progress);
    if (call->dialect == Dialect::classic) return {201, {{"message", "Container '" + created.name.str() + "' created."}}};
    return {200, {{"message", "Environment '" + created.name.str() + "' created successfully."}, {"container_id", created.container.id},
                  {"container_name", created.container.name}, {"env_name", created.name.str()}, {"status", created.container.state.status}}};
  });
}

void start_container(CallPtr call) {
  auto found = call->services.environments.start(call->parameter("name"));
  call->reply(done_message(*call, found.name.str(), "started"));
}

void stop_container(CallPtr call) {
  auto found = call->services.environments.stop(call->parameter("name"));
  call->reply(done_message(*call, found.name.str(), "stopped"));
}

void delete_container(CallPtr call) {
  auto found = call->services.environments.remove(call->parameter("name"));
  call->reply(done_message(*call, found.name.str(), "deleted"));
}

void create_tar(CallPtr call) {
  with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
    auto& environments = call->services.environments;
    auto published = environments.create_tar(call->parameter("name"), call->request.query.contains("squash"), progress);
    auto path = environments.share().place_of(published.version.tarball).path().string();
    auto name = environment::Share::parse_file_name(published.version.tarball)->first.str();
    announce_version(call->services, name, published.version.tarball);
    if (call->dialect == Dialect::classic)
      return {200, {{"message", "Container tarball created/refreshed successfully."}, {"tarball_path", path}}};
    return {200, {{"message", "Tarball created from environment '" + name + "'."}, {"tarball_path", path}, {"env_name", name},
                  {"timestamp", published.version.timestamp}, {"image_id", published.archive.config_digest},
                  {"size_bytes", published.version.size_bytes}, {"pruned", published.pruned}, {"packaging", packaging_shape(published.packaging)}}};
  });
}

void list_archives(CallPtr call) {
  call->responder->send({.status = 200, .body = archives_text(*call->services.environments.archives())});
}

void download_archive(CallPtr call) {
  auto name = environment::EnvironmentName::parse(call->parameter("name"));
  const auto& share = call->services.environments.share();
  auto newest = share.newest(name);
  if (!newest) throw NotFound("there is no tarball of environment '" + name.str() + "'", "`hakuriver.docker list-tars` shows those there are.");
  auto path = share.place_of(newest->tarball).path();
  auto file = environment::open_archive_file(share.place_of(newest->tarball));
  auto size = static_cast<std::uint64_t>(::lseek(file.get(), 0, SEEK_END));
  net::Response head{.status = 200, .content_type = "application/x-tar"};
  head.headers = {{"Content-Length", std::to_string(size)}, {"Content-Disposition", "attachment; filename=\"" + newest->tarball + "\""}};
  call->responder->stream(std::move(head), [&](net::BodyWriter& writer) {
    constexpr std::uint64_t kChunkBytes = 256 * 1024;
    for (std::uint64_t at = 0; at < size; at += kChunkBytes)
      writer.write(os::pread_exact(file.get(), std::min(kChunkBytes, size - at), static_cast<off_t>(at), path));
  });
}

}  // namespace riverbox::api
