#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "api/file_answer.hpp"
#include "api/handlers.hpp"
#include "api/progress.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

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

Json latest_shape(const environment::Listing* archives, const host::ListedContainer& container) {
  if (!archives || !container.managed || !environment::EnvironmentName::is_valid(container.name)) return nullptr;
  const auto found = archives->find(environment::EnvironmentName::parse(container.name));
  if (found == archives->end() || found->second.empty()) return nullptr;
  const auto& latest = found->second.front();
  return {{"timestamp", latest.timestamp}, {"tarball", latest.tarball}, {"size_bytes", latest.size_bytes}};
}

void reply_containers(const CallPtr& call, const std::vector<host::ListedContainer>& containers, bool sizes) {
  constexpr std::chrono::milliseconds kPatience{300};  // with the share: the containers are what was asked for
  const bool classic = call->dialect == Dialect::classic, all = classic || call->request.query.contains("all");
  const auto archives = classic ? nullptr : call->services.archives.listing(kPatience);
  Json out = Json::array();
  for (const auto& container : containers) {
    if (!all && !container.managed) continue;
    auto shape = container_shape(container, call->dialect);
    if (!classic) shape["latest"] = latest_shape(archives.get(), container);
    if (sizes) shape["changed_bytes"] = or_null(container.changed_bytes);
    out.push_back(std::move(shape));
  }
  call->reply(out);
}

void reply_sizes(const CallPtr& call, const ContainerWalk::Containers& found, const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
    reply_containers(call, found, true);
  } catch (const std::exception& why) {
    call->responder->send(error_response(why));
  }
}

// Names the file by when and how large it was written: one that is put in the place of another has another name.
std::string etag_of(int fd, const std::filesystem::path& path, std::uint64_t& size_bytes) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw IoError("inspect " + path.string(), errno);
  size_bytes = static_cast<std::uint64_t>(status.st_size);
  return fmt::format("\"{:x}-{:x}-{:x}\"", status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size);
}

void send_tarball(const CallPtr& call, const std::string& which) {
  const auto tarball = call->services.versions.find(call->parameter("name"), which).tarball;
  const auto place = call->services.environments.share().place_of(tarball);
  const auto file = environment::open_archive_file(place);
  std::uint64_t size_bytes = 0;
  const auto etag = etag_of(file.get(), place.path(), size_bytes);
  const auto wish = net::parse_range(call->request.header("range"), call->request.header("if-range"), etag, size_bytes);
  if (wish.kind == net::RangeWish::Kind::unsatisfiable) return call->responder->send(nothing_at_range(detail(416, fmt::format("there is nothing at that range: '{}' has {} bytes", tarball, size_bytes)), size_bytes));
  net::Response head{.content_type = "application/x-tar"};
  head.headers = {{"Content-Disposition", "attachment; filename=\"" + tarball + "\""}, {"ETag", etag}};
  send_part_of_file(call, with_range(std::move(head), wish, size_bytes), file.get(), place.path(), wish.offset, wish.size_bytes);
}

}  // namespace

void list_containers(CallPtr call) {
  const bool sizes = call->dialect == Dialect::api && call->request.query.contains("size");
  if (!sizes) return reply_containers(call, call->services.environments.list(), false);
  call->services.container_walk.ask([call](const ContainerWalk::Containers& found, std::exception_ptr error) { reply_sizes(call, found, error); });
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

void download_archive(CallPtr call) { send_tarball(call, "newest"); }
void download_version(CallPtr call) { send_tarball(call, call->parameter("version")); }

}  // namespace riverbox::api
