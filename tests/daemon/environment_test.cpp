// Publishing and syncing against a real Docker Engine ($DOCKER_HOST or the local socket) with busybox:latest in it. A second engine
// ($RIVERBOX_TEST_RUNNER_DOCKER_HOST or $RIVERBOX_TEST_SECOND_DOCKER_HOST) plays the runner; without one the first plays both.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.hpp"
#include "docker/engine.hpp"
#include "environment/publish.hpp"
#include "environment/sync.hpp"

using namespace riverbox;
using namespace riverbox::environment;
namespace fs = std::filesystem;

namespace {

std::string runner_host() {
  for (const char* variable : {"RIVERBOX_TEST_RUNNER_DOCKER_HOST", "RIVERBOX_TEST_SECOND_DOCKER_HOST"}) {
    if (const char* value = std::getenv(variable); value && *value) return value;
  }
  return {};
}

const auto no_progress = [](const SyncProgress&) {};

// A share, an environment container, and whatever they leave behind: gone at the end.
class World {
public:
  explicit World(const std::string& name_text = "env")
      : host(docker::Endpoint::from_environment()),
        runner(runner_host().empty() ? docker::Endpoint::from_environment() : docker::Endpoint::parse(runner_host())),
        naming(fmt::format("rbtest{}", getpid())), name(EnvironmentName::parse(name_text)), tag(naming.environment_image(name.str())) {
    char folder[] = "/tmp/riverbox-daemon-XXXXXX";
    share_dir = mkdtemp(folder);
    tidy();
  }
  ~World() {
    tidy();
    if (mounted) umount2(share_dir.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove_all(share_dir, ignored);
  }

  void make_container(const docker::Naming::Labels& more_labels = {}, bool ours = true) {
    docker::ContainerSpec spec;
    spec.image = host.inspect_image("busybox:latest").id;
    spec.command = {"sleep", "1000000"};
    spec.init = true;
    if (ours) spec.labels = naming.environment_labels(name.str());
    spec.labels.insert(more_labels.begin(), more_labels.end());
    host.create_container(container(), spec);
    host.start_container(container());
  }
  void change(const std::string& text) {
    REQUIRE(host.run_exec(container(), {"sh", "-c", fmt::format("echo '{}' > /state", text)}, std::chrono::seconds(20)).exit_code == 0);
  }
  Published publish(const PublishOptions& options = {}, const CancelToken& cancel = {}) {
    recorded = forgotten = 0;
    return Publisher(host, naming, share()).publish(name, options, cancel, [&](const PublishIntent& given) { ++recorded; intent = given; }, [&] { ++forgotten; });
  }
  SyncResult sync(const std::string& hint = "", const CancelToken& cancel = {}) {
    Syncer syncer(runner, naming, share());
    return syncer.ensure(name, hint, cancel, no_progress);
  }

  Share share() const { return Share(share_dir / "hakuriver-containers"); }
  std::string container() const { return naming.environment_container(name.str()); }
  bool running() { return host.inspect_container(container()).state.running; }
  std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(share().dir())) {
      if (entry.is_regular_file()) found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  void nothing_happened() {
    CHECK(running());
    CHECK_FALSE(host.find_image(tag));
    CHECK(files().empty());
    CHECK(recorded == 1);
    CHECK(forgotten == 1);
  }

  docker::Engine host, runner;
  docker::Naming naming;
  EnvironmentName name;
  std::string tag;
  fs::path share_dir;
  PublishIntent intent;
  int recorded = 0, forgotten = 0;
  bool mounted = false;

private:
  void tidy() {
    try {
      host.remove_container(container(), true);
    } catch (const docker::DockerError&) {
    }
    for (docker::Engine* engine : {&host, &runner}) {
      try {
        if (engine->find_image(tag)) engine->untag_image(tag);
      } catch (const docker::DockerError&) {
      }
    }
  }
};

template <class Thrown, class Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Thrown& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(text);
  return false;
}

// The bytes of `path` with `change` done to them, as a newer version.
void write_newer(const World& world, const std::string& from, std::int64_t timestamp, const std::function<void(std::string&)>& change) {
  std::ifstream in(world.share().path_of(from), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  change(bytes);
  std::ofstream(world.share().path_of(Share::file_name(world.name, timestamp)), std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("publish, then sync, then nothing to do") {
  World world;
  world.make_container();
  world.change("first");
  const auto begin = std::chrono::steady_clock::now();
  const Published published = world.publish();
  MESSAGE("publish: ", std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count(), " ms");
  CHECK(world.running());
  CHECK_FALSE(world.host.find_image(world.tag));
  CHECK(world.files() == std::vector<std::string>{published.version.tarball});
  CHECK(published.version.timestamp == unix_seconds(published.archive.identity.created));
  CHECK(published.archive.repo_tags == std::vector<std::string>{world.tag});
  CHECK(world.recorded == 1);
  CHECK(world.forgotten == 1);
  CHECK(world.intent.was_running);
  const auto listing = world.share().list();
  CHECK(listing.at(world.name)[0].image_id == published.archive.config_digest);
  CHECK(verify_archive(world.share().path_of(published.version.tarball), CancelToken{}).identity == published.archive.identity);

  const SyncResult first = world.sync();
  CHECK(first.loaded);
  CHECK(first.bytes_read == published.archive.size_bytes);
  CHECK(first.tarball == published.version.tarball);
  CHECK(world.runner.inspect_image(world.tag).id == first.image_id);
  // What a user runs from the image by himself is not ours.
  docker::ContainerSpec by_hand;
  by_hand.image = first.image_id;
  by_hand.command = {"true"};
  const std::string other = world.runner.create_container(world.container() + "-by-hand", by_hand);
  CHECK_FALSE(world.naming.is_managed(world.runner.inspect_container(other).labels));
  world.runner.remove_container(other, true);
  const SyncResult second = world.sync();
  CHECK_FALSE(second.loaded);
  CHECK(second.image_id == first.image_id);
  CHECK(second.bytes_read == 0);
}

TEST_CASE("publishes in one second get versions of their own; old ones are pruned unless in use") {
  World world;
  world.make_container();
  PublishOptions keep_two;
  keep_two.keep_versions = 2;
  const auto a = world.publish(keep_two), b = world.publish(keep_two);
  CHECK(b.version.timestamp > a.version.timestamp);
  CHECK(b.version.timestamp == unix_seconds(b.archive.identity.created));
  CHECK(world.files().size() == 2);
  const auto c = world.publish(keep_two);
  CHECK(c.pruned == std::vector<std::string>{a.version.tarball});
  CHECK_FALSE(fs::exists(world.share().index_path(a.version.tarball)));
  PublishOptions guarded;
  guarded.in_use = [&](const Version& version) { return version.tarball == b.version.tarball; };
  const auto d = world.publish(guarded);
  CHECK(d.pruned == std::vector<std::string>{c.version.tarball});
  CHECK(world.files().size() == 2);
}

TEST_CASE("a version from the future is outrun at once") {
  World world;
  world.make_container();
  const auto first = world.publish();
  const std::int64_t future = first.version.timestamp + 100'000;
  write_newer(world, first.version.tarball, future, [](std::string&) {});
  const auto begin = std::chrono::steady_clock::now();
  CHECK(world.publish().version.timestamp == future + 1);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
}

TEST_CASE("foreign and absent containers are refused, nothing is recorded") {
  World world;
  CHECK(has(message_of<docker::ContainerNotFoundError>([&] { world.publish(); }), "no environment container 'env'"));
  world.make_container({}, false);
  CHECK(has(message_of<Conflict>([&] { world.publish(); }), "is not managed by riverbox"));
  CHECK(world.running());
  CHECK(world.recorded == 0);
}

TEST_CASE("a stopped container stays stopped, a paused one runs afterwards") {
  World world;
  world.make_container();
  world.host.stop_container(world.container(), std::chrono::seconds(5));
  world.publish();
  CHECK_FALSE(world.running());
  world.host.start_container(world.container());
  world.host.pause_container(world.container());
  world.publish();
  const auto state = world.host.inspect_container(world.container()).state;
  CHECK(state.running);
  CHECK_FALSE(state.paused);
}

TEST_CASE("a full share: the container runs again and nothing is left") {
  World world;
  if (mount("tmpfs", world.share_dir.c_str(), "tmpfs", 0, "size=512k") != 0) {
    MESSAGE("not allowed to mount: skipped");
    return;
  }
  world.mounted = true;
  world.make_container();
  CHECK(has(message_of<IoError>([&] { world.publish(); }), "No space left"));
  world.nothing_happened();
}

TEST_CASE("a read-only share is refused before anything is touched") {
  World world;
  if (mount("tmpfs", world.share_dir.c_str(), "tmpfs", MS_RDONLY, "size=512k") != 0) {
    MESSAGE("not allowed to mount: skipped");
    return;
  }
  world.mounted = true;
  world.make_container();
  CHECK(has(message_of<IoError>([&] { world.publish(); }), "read-only"));
  CHECK(world.recorded == 0);
  CHECK(world.running());
}

TEST_CASE("cancelled at every step: as if nothing had been asked") {
  for (const char* step : {"stopping", "committing", "writing", "verifying", "publishing"}) {
    CAPTURE(step);
    World world;
    world.make_container();
    const CancelToken cancel;
    PublishOptions options;
    bool seen = false;
    options.progress = [&](const PublishProgress& progress) {
      if (progress.step != step) return;
      seen = true;
      throw Cancelled("the test gives up");
    };
    CHECK(has(message_of<Cancelled>([&] { world.publish(options, cancel); }), "gives up"));
    CHECK(seen);
    world.nothing_happened();
  }
}

TEST_CASE("an image that was tagged before: moved by a success, kept by a failure") {
  World world;
  world.make_container();
  const std::string before = world.host.inspect_image("busybox:latest").id;
  world.host.tag_image(before, world.tag);
  const CancelToken cancel;
  PublishOptions failing;
  failing.progress = [&](const PublishProgress& progress) {
    if (progress.step == "writing") cancel.cancel();
  };
  CHECK_THROWS_AS(world.publish(failing, cancel), Cancelled);
  CHECK(world.host.inspect_image(world.tag).id == before);
  CHECK(world.running());
  const auto published = world.publish();
  CHECK(Syncer::needs_sync(world.host.find_image(world.tag), published.archive.identity) == false);
  CHECK(world.host.find_image(before));
}

TEST_CASE("recover undoes what a crash left, also twice") {
  World world;
  world.make_container();
  world.publish();
  const auto versions = world.files();
  const PublishIntent intent = world.intent;
  world.host.stop_container(world.container(), std::chrono::seconds(5));
  world.host.tag_image(world.host.commit(world.container(), {}, "", CancelToken{}), world.tag);
  const auto part = world.share().dir() / fmt::format(".riverbox-{}.4711.abcdef012345.part", Share::file_name(world.name, 99));
  const auto other = world.share().dir() / ".riverbox-other-99.tar.4711.abcdef012345.part";
  std::ofstream(part) << "half";
  std::ofstream(other) << "half";
  Publisher publisher(world.host, world.naming, world.share());
  for (int i = 0; i < 2; ++i) {
    publisher.recover(intent);
    CHECK(world.running());
    CHECK_FALSE(world.host.find_image(world.tag));
    CHECK_FALSE(fs::exists(part));
  }
  CHECK(fs::exists(other));
  fs::remove(other);
  CHECK(world.files() == versions);
  world.host.remove_container(world.container(), true);
  CHECK_NOTHROW(publisher.recover(intent));
}

TEST_CASE("the entry point that the container's creator replaced is in the image again") {
  World world;
  world.make_container({{world.naming.label("entrypoint"), R"(["/bin/echo","a \"b\" $HOME"])"}, {world.naming.label("command"), R"(["c"])"}});
  world.publish();
  world.sync();
  const auto image = world.runner.inspect_image(world.tag);
  CHECK(image.entrypoint == std::vector<std::string>{"/bin/echo", "a \"b\" $HOME"});
  CHECK(image.command == std::vector<std::string>{"c"});
}

TEST_CASE("a new version replaces the image, also when only the host's word is known") {
  World world;
  world.make_container();
  world.publish();
  const auto first = world.sync();
  world.change("second");
  const auto published = world.publish();
  const auto second = world.sync(published.version.tarball);
  // With one engine for both the publish has moved the runner's tag itself.
  if (!runner_host().empty()) CHECK(second.loaded);
  CHECK(second.image_id != first.image_id);
  CHECK(second.tarball == published.version.tarball);
  CHECK(has(message_of<NotFound>([&] { world.sync(Share::file_name(world.name, published.version.timestamp + 5)); }), "does not show it"));
}

TEST_CASE("a missing environment names those that exist") {
  World world;
  world.make_container();
  world.publish();
  Syncer syncer(world.runner, world.naming, world.share());
  const auto message = message_of<NotFound>([&] { syncer.ensure(EnvironmentName::parse("enw"), "", {}, no_progress); });
  CHECK(has(message, "no environment 'enw'"));
  CHECK(has(message, "Did you mean 'env'?"));
}

TEST_CASE("damaged and foreign archives leave the old image in place") {
  World world;
  world.make_container();
  const auto published = world.publish();
  const std::string good = published.version.tarball;
  const auto old = world.sync();
  const std::int64_t newer = published.version.timestamp + 10;
  const auto refused = [&](const char* reason, const std::function<void(std::string&)>& change) {
    write_newer(world, good, newer, change);
    CHECK(has(message_of<Error>([&] { world.sync(); }), reason));
    CHECK(has(message_of<Error>([&] { world.sync(); }), "the old image is still in place"));
    CHECK(world.runner.inspect_image(world.tag).id == old.image_id);
  };
  refused("truncated", [](std::string& bytes) { bytes.resize(bytes.size() / 2); });
  refused("truncated", [](std::string& bytes) { bytes.pop_back(); });
  refused("not a tar file", [](std::string& bytes) { bytes = std::string(5000, 'A'); });
  // The tag in manifest.json (and in nothing else that has a checksum) becomes somebody else's of the same length.
  const std::string foreign = "some" + world.tag.substr(4);
  world.runner.untag_image(world.tag);
  write_newer(world, good, newer, [&](std::string& bytes) {
    for (size_t at = bytes.find(world.tag); at != std::string::npos; at = bytes.find(world.tag, at + 1)) bytes.replace(at, foreign.size(), foreign);
  });
  CHECK(has(message_of<BadData>([&] { world.sync(); }), "would also set the image tag"));
  CHECK_FALSE(world.runner.find_image(world.tag));
  CHECK_FALSE(world.runner.find_image(foreign));
}

TEST_CASE("a layer that is damaged inside is found by the engine or by us, and the old image stays") {
  World world;
  world.make_container();
  world.change("first");
  world.publish();
  const auto old = world.sync();
  world.change("second");
  const auto published = world.publish();
  if (runner_host().empty()) {  // the engine has the layers of what it published: it would not look at the file
    return;
  }
  const auto& layer = published.archive.layers.back();
  write_newer(world, published.version.tarball, published.version.timestamp + 10, [&](std::string& bytes) { bytes[layer.offset + layer.size_bytes / 2] ^= 1; });
  CHECK(message_of<Error>([&] { world.sync(); }) != "nothing was thrown");
  CHECK(world.runner.inspect_image(world.tag).id == old.image_id);
}

TEST_CASE("archives without tags, as others write them, get our tag") {
  World world;
  world.make_container();
  const std::string id = world.host.commit(world.container(), {}, "", CancelToken{});
  world.share().prepare();
  {
    std::ofstream out(world.share().path_of(Share::file_name(world.name, 5)), std::ios::binary);
    world.host.save_image(id, [&](std::string_view bytes) { out << bytes; }, CancelToken{});
  }
  const Archive archive = read_archive(world.share().path_of(Share::file_name(world.name, 5)));
  CHECK(archive.repo_tags.empty());
  const auto synced = world.sync();
  CHECK(synced.loaded);
  CHECK_FALSE(Syncer::needs_sync(world.runner.find_image(world.tag), archive.identity));
  world.runner.untag_image(world.tag);
  try {
    world.host.untag_image(id);
  } catch (const docker::DockerError&) {  // one engine: gone with the tag
  }
}

TEST_CASE("an index that lies causes no wrong load") {
  World world;
  world.make_container();
  world.change("first");
  const auto published = world.publish();
  Archive lie = published.archive;
  lie.identity.diff_ids.assign(lie.layers.size(), "sha256:" + std::string(64, '0'));
  for (Layer& layer : lie.layers) layer.diff_id = "sha256:" + std::string(64, '0');
  lie.repo_tags = {world.tag, "debian:12"};
  write_index(world.share().index_path(published.version.tarball), lie);
  world.sync();
  CHECK_FALSE(Syncer::needs_sync(world.runner.find_image(world.tag), published.archive.identity));
}

TEST_CASE("many callers, one load; a caller who gives up disturbs nobody") {
  World world;
  world.make_container();
  world.publish();
  Syncer syncer(world.runner, world.naming, world.share());
  std::atomic<int> leaders{0}, successes{0}, quitters{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      CancelToken cancel;
      if (i == 7) cancel.cancel();
      try {
        const auto result = syncer.ensure(world.name, "", cancel, [](const SyncProgress&) {});
        ++successes;
        if (result.loaded && result.bytes_read > 0) ++leaders;
      } catch (const Cancelled&) {
        ++quitters;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(successes == 7);
  CHECK(quitters == 1);
  CHECK(leaders >= 1);
}

TEST_CASE("a time-out ends the load and leaves nothing") {
  World world;
  world.make_container();
  world.publish();
  CancelToken cancel;
  cancel.set_deadline(CancelToken::Clock::now() + std::chrono::hours(1));
  Syncer syncer(world.runner, world.naming, world.share());
  const auto stop_at_loading = [&](const SyncProgress& progress) {
    if (progress.step == "loading") cancel.set_deadline(CancelToken::Clock::now());
  };
  CHECK_THROWS_AS(syncer.ensure(world.name, "", cancel, stop_at_loading), Timeout);
  CHECK_FALSE(world.runner.find_image(world.tag));
  CHECK(world.sync().loaded);  // a later caller tries anew
}

int main(int argc, char** argv) {
  try {
    docker::Engine engine(docker::Endpoint::from_environment());
    engine.ping();
    if (!engine.find_image("busybox:latest")) {
      fmt::print(stderr, "SKIPPED: the Docker Engine has no image busybox:latest\n");
      return 77;
    }
  } catch (const Error& error) {
    fmt::print(stderr, "SKIPPED: NO DOCKER ENGINE: {}\n", error.what());
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
