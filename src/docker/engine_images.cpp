// Images: inspect, pull, commit, tag, save, load.
#include "base/log.hpp"
#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"
#include "docker/progress.hpp"
#include "docker/reference.hpp"
#include "docker/upload.hpp"

namespace riverbox::docker {

using nlohmann::json;
using std::chrono::minutes;

namespace {

std::optional<std::vector<std::string>> optional_texts(const json& array) {
  if (!array.is_array()) return std::nullopt;
  return texts(array);
}

Image parse_image(const json& answer) {
  Image image;
  image.id = text(answer, "Id");
  image.diff_ids = texts(field(field(answer, "RootFS"), "Layers"));
  image.tags = texts(field(answer, "RepoTags"));
  image.created = created_of(answer);
  auto& config = field(answer, "Config");
  image.entrypoint = optional_texts(field(config, "Entrypoint"));
  image.command = optional_texts(field(config, "Cmd"));
  image.size_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(number(answer, "Size"), 0));
  image.architecture = text(answer, "Architecture");
  image.os = text(answer, "Os");
  return image;
}

// A listing has neither the layers nor the exact time.
std::vector<Image> inspect_all(Engine& engine, const json& listing) {
  std::vector<Image> result;
  if (!listing.is_array()) return result;
  for (auto& item : listing)
    if (auto image = engine.find_image(text(item, "Id"))) result.push_back(std::move(*image));
  return result;
}

}  // namespace

Call image_call(const char* verb, const std::string& reference, const char* method, const std::string& rest) {
  Call call;
  call.topic = Topic::image;
  call.request.action = std::string(verb) + " image '" + reference + "'";
  call.request.method = method;
  call.request.path = "/images/" + path_segment(reference, "image reference") + rest;
  return call;
}

Image Engine::inspect_image(const std::string& reference) {
  auto call = image_call("inspect", reference, "GET", "/json");
  std::string action = call.request.action;
  auto image = parse_image(impl_->api.ask(std::move(call)));
  if (image.id.empty()) throw DockerError("cannot " + action + ": the Docker daemon's answer has no Id");
  return image;
}

json Engine::image_config(const std::string& id) {
  auto answer = impl_->api.ask(image_call("inspect", id, "GET", "/json"));
  json config = {{"architecture", text(answer, "Architecture")}, {"os", text(answer, "Os")}, {"config", field(answer, "Config")}};
  if (auto variant = text(answer, "Variant"); !variant.empty()) config["variant"] = variant;
  return config;
}

std::optional<Image> Engine::find_image(const std::string& reference) {
  try {
    return inspect_image(reference);
  } catch (const ImageNotFoundError&) {
    return std::nullopt;
  }
}

std::vector<Image> Engine::list_images_tagged(const std::string& reference_filter) {
  Call call;
  call.topic = Topic::image;
  call.request.action = "list images like '" + reference_filter + "'";
  call.request.path = "/images/json" + query({{"filters", json{{"reference", {reference_filter}}}.dump()}});
  return inspect_all(*this, impl_->api.ask(std::move(call)));
}

std::vector<Image> Engine::list_untagged_images(const std::string& label_filter) {
  Call call;
  call.topic = Topic::image;
  call.request.action = "list images without a tag";
  call.request.path = "/images/json" + query({{"filters", json{{"dangling", {"true"}}, {"label", {label_filter}}}.dump()}});
  return inspect_all(*this, impl_->api.ask(std::move(call)));
}

std::vector<std::string> Engine::list_image_ids() {
  Call call;
  call.topic = Topic::image;
  call.request.action = "list images";
  call.request.path = "/images/json?all=1";
  auto answer = impl_->api.ask(std::move(call));
  std::vector<std::string> ids;
  if (!answer.is_array()) return ids;
  for (auto& item : answer)
    if (auto id = text(item, "Id"); !id.empty()) ids.push_back(std::move(id));
  return ids;
}

void Engine::pull_image(const std::string& reference, const PullCallback& progress, const CancelToken& cancel) {
  auto parsed = Reference::parse(reference);
  Call call;
  call.topic = Topic::pull;
  call.request.action = "pull image '" + reference + "'";
  call.request.method = "POST";
  call.request.path = "/images/create" + query({{"fromImage", parsed.name}, {"tag", parsed.tag}});
  if (auto auth = registry_auth(parsed.registry); !auth.empty()) call.request.headers.push_back("X-Registry-Auth: " + auth);
  call.request.silence = minutes(30);  // one line per step, and a step can be the unpacking of many gigabytes
  call.request.cancel = &cancel;
  PullTracker tracker;
  JsonLines lines(call.request.action, [&](const json& line) { tracker.line(line, progress); });
  call.request.sink = [&](std::string_view bytes) { lines.feed(bytes); };
  const std::string action = call.request.action;
  impl_->api.send(std::move(call));
  lines.finish();
  if (!tracker.error().empty()) throw_failure(Topic::pull, action, 200, tracker.error());
}

std::string Engine::commit(const std::string& container, const std::vector<std::string>& changes, const CommitOptions& options, const CancelToken& cancel) {
  path_segment(container, "container name");  // only to refuse what cannot be one
  Call call;
  call.topic = Topic::commit;
  call.request.action = "commit container '" + container + "'";
  call.request.method = "POST";
  call.request.path = "/commit" + query({{"container", container}, {"comment", options.comment}, {"pause", options.pause ? "1" : "0"}});
  if (!options.tag.empty()) {
    const auto tag = Reference::parse(options.tag);
    call.request.path += query({{"repo", tag.name}, {"tag", tag.tag}}).replace(0, 1, "&");
  }
  for (auto& change : changes) call.request.path += query({{"changes", change}}).replace(0, 1, "&");
  call.request.silence = kNoLimit;  // grows with what was changed
  call.request.cancel = &cancel;
  auto id = text(impl_->api.ask(std::move(call)), "Id");
  if (id.empty()) throw ImageBuildError("cannot commit container '" + container + "': the Docker daemon's answer has no Id");
  return id;
}

Engine::LastStep Engine::last_step(const std::string& reference) {
  const auto steps = impl_->api.ask(image_call("inspect", reference, "GET", "/history"));
  if (!steps.is_array() || steps.empty()) return {};
  return {text(steps.front(), "Comment"), static_cast<std::uint64_t>(std::max<std::int64_t>(number(steps.front(), "Size"), 0))};
}

void Engine::tag_image(const std::string& id, const std::string& reference) {
  auto parsed = Reference::parse(reference);
  auto call = image_call("tag", id, "POST", "/tag" + query({{"repo", parsed.name}, {"tag", parsed.tag}}));
  call.request.action += " as '" + reference + "'";
  impl_->api.send(std::move(call));
}

void Engine::untag_image(const std::string& reference, bool force) {
  auto call = image_call("remove", reference, "DELETE", force ? "?noprune=0&force=1" : "?noprune=0");
  call.request.silence = minutes(10);  // deletes the files of the layers
  impl_->api.send(std::move(call));
}

void Engine::remove_unused_image(const std::string& id) noexcept {
  try {
    const auto image = find_image(id);
    if (image && image->tags.empty()) untag_image(id);  // the daemon refuses while something needs it
  } catch (const std::exception& error) {
    log::debug("docker", "an image stays", {{"image", id}, {"reason", error.what()}});
  }
}

void Engine::save_image(const std::string& reference, const std::function<void(std::string_view)>& sink, const CancelToken& cancel) {
  auto call = image_call("save", reference, "GET", "/get");
  call.topic = Topic::save;
  call.request.silence = kNoLimit;  // the engine writes all layers to a temporary folder before the first byte
  call.request.cancel = &cancel;
  call.request.sink = sink;
  impl_->api.send(std::move(call));
}

void Engine::export_container(const std::string& id_or_name, const std::function<void(std::string_view)>& sink, const CancelToken& cancel) {
  auto call = container_call("export", id_or_name, "GET", "/export");
  call.request.silence = kNoLimit;
  call.request.cancel = &cancel;
  call.request.sink = sink;
  impl_->api.send(std::move(call));
}

namespace {

Call load_call(const CancelToken& cancel) {
  Call call;
  call.topic = Topic::load;
  call.request.action = "load an image archive";
  call.request.method = "POST";
  call.request.path = "/images/load?quiet=1";
  call.request.silence = kNoLimit;  // unpacks for minutes without a word
  call.request.cancel = &cancel;
  return call;
}

// Runs `exchange` with a call whose answer is understood while it comes.
template <class Exchange>
LoadResult tracked_load(Call call, Exchange exchange) {
  LoadTracker tracker;
  JsonLines lines(call.request.action, [&](const json& line) { tracker.line(line); });
  call.request.sink = [&](std::string_view bytes) { lines.feed(bytes); };
  try {
    exchange(std::move(call));
    lines.finish();
  } catch (const DockerConnectionError&) {
    // A daemon that refuses the archive early answers and closes; then its words say more than the broken pipe.
    if (tracker.result().error.empty()) throw;
  }
  auto result = tracker.result();
  if (result.error.empty() && result.loaded.empty()) result.error = "the Docker daemon named no image that it loaded";
  return result;
}

}  // namespace

bool Engine::is_local() const { return endpoint().host.starts_with("unix://"); }

void Engine::prepare_load(const std::string& beginning) noexcept {
  try {
    if (!is_local() || version().api_at_least(1, 42)) return;
    Impl::PreparedLoad prepared{std::make_unique<BegunUpload>(impl_->api, load_call(CancelToken()), beginning), std::chrono::steady_clock::now()};
    const std::lock_guard lock(impl_->mutex);
    impl_->prepared_load = std::move(prepared);
  } catch (const std::exception& error) {
    log::debug("docker", "a load is not prepared", {{"reason", error.what()}});
  }
}

void Engine::end_prepared_load(std::chrono::seconds older_than) noexcept {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->prepared_load && std::chrono::steady_clock::now() - impl_->prepared_load->since >= older_than) impl_->prepared_load.reset();
}

// The prepared load, if it still waits and these segments begin as it does.
std::unique_ptr<BegunUpload> Engine::take_prepared(const std::vector<Segment>& segments) {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->prepared_load || segments.empty() || !segments.front().bytes.starts_with(impl_->prepared_load->upload->beginning())) return nullptr;
  auto upload = std::move(impl_->prepared_load->upload);
  impl_->prepared_load.reset();
  return upload->waits() ? std::move(upload) : nullptr;
}

LoadResult Engine::load_image(std::uint64_t size_bytes, const std::function<size_t(char* buffer, size_t size)>& source,
                              const CancelToken& cancel) {
  Call call = load_call(cancel);
  call.request.source = source;
  call.request.source_bytes = size_bytes;
  return tracked_load(std::move(call), [&](Call ready) { impl_->api.send(std::move(ready)); });
}

LoadResult Engine::load_image(const std::vector<Segment>& segments, const LoadCallback& progress, const CancelToken& cancel) {
  if (const auto begun = take_prepared(segments)) {
    auto rest = segments;
    rest.front().bytes.erase(0, begun->beginning().size());
    // What fails here may be the fault of what has waited: the daemon was restarted, its process is gone. Only the ordinary load gives a verdict.
    try {
      auto result = tracked_load(load_call(cancel), [&](const Call& ready) { begun->finish(ready, rest, progress); });
      if (result.error.empty()) return result;
      log::debug("docker", "a prepared load has come to nothing", {{"reason", result.error}});
    } catch (const DockerConnectionError& error) {
      log::debug("docker", "a prepared load has come to nothing", {{"reason", error.what()}});
    }
  }
  UploadBody body(segments, progress);
  if (is_local())
    return tracked_load(load_call(cancel), [&](const Call& ready) { upload(impl_->api, ready, body); });
  return load_image(body.size_bytes(), [&](char* buffer, size_t size) { return body.read(buffer, size); }, cancel);
}

}  // namespace riverbox::docker
