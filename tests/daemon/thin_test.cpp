// Loads of only what an Engine lacks.
#include "environment_world.hpp"

namespace {

// A large lower layer, then a small change: the first version is in the runner's daemon, the second is on the share.
struct TwoVersions {
  World world;
  Published first, second;
  SyncResult before;
  explicit TwoVersions(const char* name = "env") : world(name) {
    world.make_container();
    REQUIRE(world.host.run_exec(world.container(), {"sh", "-c", "head -c 20000000 /dev/urandom > /large; echo kept > /kept"}, std::chrono::seconds(60)).exit_code == 0);
    first = world.publish();
    before = world.sync();
    REQUIRE(world.host.run_exec(world.container(), {"sh", "-c", "head -c 300000 /dev/urandom > /small; rm /kept; echo new > /new"}, std::chrono::seconds(60)).exit_code == 0);
    second = world.publish({.keep_versions = 5});
  }
  ~TwoVersions() { remove_from_runner(); }
  // With one engine for both nothing is ever missing.
  bool one_engine() const {
    if (runner_host().empty()) MESSAGE("SKIPPED: one Docker Engine plays host and runner");
    return runner_host().empty();
  }
  std::string shown(const std::string& image_id) {
    docker::ContainerSpec spec;
    spec.image = image_id;
    spec.network = "none";
    spec.command = {"sleep", "1000"};
    const std::string id = world.runner.create_container(world.container() + "-look", spec);
    world.runner.start_container(id);
    const auto result = world.runner.run_exec(id, {"sh", "-c", "sha256sum < /large | cut -c1-64; cat /new; ls /kept 2>&1 | tail -c 26"}, std::chrono::seconds(60));
    world.runner.remove_container(id, true);
    return result.stdout_text;
  }
  std::vector<std::string> tags() {
    std::vector<std::string> found;
    const std::string start = world.tag.substr(0, world.tag.rfind(':') + 1);
    for (const auto& image : world.runner.list_images_tagged(start + "*")) {
      std::copy_if(image.tags.begin(), image.tags.end(), std::back_inserter(found), [&](const std::string& tag) { return tag.starts_with(start); });
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  void remove_from_runner() {
    for (const std::string& tag : tags()) {
      try {
        world.runner.untag_image(tag);
      } catch (const docker::DockerError&) {
      }
    }
    for (const std::string& id : {before.image_id, second.archive.config_digest, second.archive.manifest_digest}) {
      try {
        if (!id.empty() && world.runner.find_image(id)) world.runner.untag_image(id);
      } catch (const docker::DockerError&) {
      }
    }
  }
  // What the engine calls the second version.
  std::string second_id() { return world.runner.containerd_store() ? second.archive.manifest_digest : second.archive.config_digest; }
  std::uint64_t change_bytes() const { return second.archive.layers.back().size_bytes; }
  void check_is_there(const SyncResult& result) {
    CHECK(result.loaded);
    CHECK(result.tarball == second.version.tarball);
    CHECK(is_image_of(world.runner.inspect_image(world.tag), second.archive.identity));
    CHECK(world.runner.inspect_image(world.tag).id == result.image_id);
    CHECK(tags() == std::vector<std::string>{world.tag});
  }
};

// Calls `work` the first time a load has decided what to send.
SyncCallback when_loading(std::function<void()> work) {
  return [work, done = std::make_shared<bool>(false)](const SyncProgress& progress) {
    if (progress.step != "loading" || std::exchange(*done, true)) return;
    work();
  };
}

}  // namespace

TEST_CASE("only what changed travels, and the image is the same as after a full load") {
  TwoVersions two;
  if (two.one_engine()) return;
  CHECK(two.before.layers_left_out <= 1);  // busybox is there in its own right
  CHECK(two.before.bytes_read >= two.first.archive.layers.back().size_bytes);
  const auto begin = std::chrono::steady_clock::now();
  const SyncResult thin = two.world.sync();
  MESSAGE("thin sync: ", std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count(), " ms, ", thin.bytes_read, " bytes");
  two.check_is_there(thin);
  CHECK(thin.way == "thin");
  CHECK(thin.layers_left_out == two.second.archive.layers.size() - 1);
  CHECK(thin.bytes_read < two.change_bytes() + 16'000);
  CHECK(thin.image_id == two.second_id());
  const std::string content = two.shown(thin.image_id);
  CHECK(has(content, "new\n"));
  CHECK(has(content, "No such file or directory"));

  two.remove_from_runner();
  const SyncResult again = two.world.sync();
  two.check_is_there(again);
  CHECK(again.layers_left_out <= 1);
  CHECK(again.image_id == thin.image_id);
  CHECK(two.shown(again.image_id) == content);
}

// fault: store-lies
TEST_CASE("with one version kept on the share, a containerd store is loaded thin by a memory, and rightly with a wrong one") {
  TwoVersions two;
  if (two.one_engine()) return;
  const fs::path memory = two.world.share_dir / "images.json";
  const SyncOptions options{.memory = memory};
  for (const auto& version : two.world.share().versions(two.world.name)) {
    if (version.tarball != two.second.version.tarball) two.world.share().remove(version);
  }
  two.world.sync(Syncer(two.world.runner, two.world.naming, two.world.share(), options));
  two.world.change("third");
  two.world.publish({.keep_versions = 1});
  const auto third = two.world.sync(Syncer(two.world.runner, two.world.naming, two.world.share(), options));
  CHECK(third.way == "thin");
  CHECK(fs::exists(memory) == two.world.runner.containerd_store());
  std::ofstream(memory) << "[[[";
  two.world.change("fourth");
  const auto published = two.world.publish({.keep_versions = 1});
  two.world.sync(Syncer(two.world.runner, two.world.naming, two.world.share(), options));
  CHECK(is_image_of(two.world.runner.inspect_image(two.world.tag), published.archive.identity));
}

TEST_CASE("packed layers load whole and thin, and mix with plain ones") {
  World world;
  world.make_container();
  PublishOptions packed;
  packed.compression = Compression::gzip;
  packed.keep_versions = 9;
  world.change("plain");
  world.publish({.keep_versions = 9});
  world.change("packed");
  const auto second = world.publish(packed);
  REQUIRE(second.archive.layers.size() >= 3);
  CHECK_FALSE(second.archive.layers.front().compressed);
  CHECK(second.archive.layers.back().compressed);
  CHECK(is_image_of(world.runner.inspect_image(world.sync().image_id), second.archive.identity));
  world.change("packed again");
  const auto third = world.publish(packed);
  const auto synced = world.sync();
  if (!runner_host().empty()) CHECK(synced.way == "thin");
  CHECK(synced.tarball == third.version.tarball);
  CHECK(world.runner.inspect_image(world.tag).diff_ids == third.archive.identity.diff_ids);
}

TEST_CASE("archives as `docker save` writes them load thin too") {
  TwoVersions two;
  if (two.one_engine()) return;
  const auto path = two.world.share().path_of(two.second.version.tarball);
  two.world.host.tag_image(two.second.archive.config_digest, two.world.tag);
  {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    two.world.host.save_image(two.world.tag, [&](std::string_view bytes) { out << bytes; }, CancelToken{});
  }
  fs::remove(two.world.share().index_path(two.second.version.tarball));
  const SyncResult thin = two.world.sync();
  two.check_is_there(thin);
  if (two.world.runner.containerd_store()) {  // whose layers have another name there
    CHECK(thin.way == "full");
    return;
  }
  CHECK(thin.way == "thin");
  CHECK(thin.bytes_read < two.change_bytes() + 50'000);
}

// fault: base-vanishes
TEST_CASE("layers that vanish after they were counted on: the whole archive is loaded") {
  TwoVersions two;
  if (two.one_engine()) return;
  Syncer syncer(two.world.runner, two.world.naming, two.world.share());
  const SyncResult result = syncer.ensure(two.world.name, "", {}, when_loading([&] { two.world.runner.untag_image(two.world.tag); }));
  CHECK(two.tags().size() == 2);  // the tag under which the image came goes when nobody waits
  syncer.tidy_up();
  two.check_is_there(result);
  CHECK(result.way == "full");
  CHECK(result.bytes_read > two.first.archive.layers.back().size_bytes);
  CHECK(has(two.shown(result.image_id), "new\n"));
}

// fault: share-stale
TEST_CASE("an archive that changes while it travels is refused, and nothing is left of it") {
  TwoVersions two;
  if (two.one_engine()) return;
  Syncer syncer(two.world.runner, two.world.naming, two.world.share());
  const auto path = two.world.share().path_of(two.second.version.tarball);
  const auto grow = when_loading([&] { std::ofstream(path, std::ios::app) << "more"; });
  const auto message = message_of<BadData>([&] { syncer.ensure(two.world.name, "", {}, grow); });
  CHECK(has(message, "was changed while it was read"));
  CHECK(has(message, "the old image is still in place"));
  CHECK(two.world.runner.inspect_image(two.world.tag).id == two.before.image_id);
  CHECK(two.tags() == std::vector<std::string>{two.world.tag});
}

TEST_CASE("a changed layer that is damaged: the old image stays, and the error names the layer") {
  TwoVersions two;
  if (two.one_engine()) return;
  const auto path = two.world.share().path_of(two.second.version.tarball);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(two.second.archive.layers.back().offset + two.change_bytes() / 2));
    file << "damage";
  }
  const auto message = message_of<docker::ImageImportError>([&] { two.world.sync(); });
  CHECK(has(message, fmt::format("layer {}", two.second.archive.layers.size())));
  CHECK(has(message, "the old image is still in place"));
  CHECK(two.world.runner.inspect_image(two.world.tag).id == two.before.image_id);
  CHECK(two.tags() == std::vector<std::string>{two.world.tag});
}

// fault: base-vanishes, docker-pruned
TEST_CASE("somebody prunes all the time: every load ends with the right image or an error, and the last one is right") {
  const char* rounds = std::getenv("RIVERBOX_TEST_PRUNE_ROUNDS");  // scripts/test --soak: each takes seconds
  const int wanted = rounds ? std::atoi(rounds) : 2;
  TwoVersions two;
  if (two.one_engine()) return;
  std::atomic<bool> stop{false};
  std::thread pruner([&] {
    docker::Engine engine(docker::Endpoint::parse(runner_host()));
    for (int round = 0; !stop; round += 3) {  // at ever other moments of a load
      for (const std::string& tag : two.tags()) {
        try {
          engine.untag_image(tag);
        } catch (const docker::DockerError&) {
        }
      }
      for (int i = 0; i < 4 + round % 11 && !stop; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  int loaded = 0, failed = 0;
  for (int i = 0; i < 200 && loaded + failed < wanted; ++i) {
    try {
      loaded += two.world.sync().loaded;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    } catch (const docker::DockerError& error) {
      ++failed;
      MESSAGE(std::string(error.what()));
    }
  }
  stop = true;
  pruner.join();
  MESSAGE(loaded, " loads, ", failed, " errors");
  two.world.sync();
  CHECK(is_image_of(two.world.runner.inspect_image(two.world.tag), two.second.archive.identity));
  CHECK(has(two.shown(two.world.runner.inspect_image(two.world.tag).id), "new\n"));
}

// fault: loads-parallel
TEST_CASE("two environments that share layers load at the same time") {
  World one("one"), other("other");
  one.make_container();
  REQUIRE(one.host.run_exec(one.container(), {"sh", "-c", "head -c 20000000 /dev/urandom > /large"}, std::chrono::seconds(60)).exit_code == 0);
  const Published published = one.publish();
  fs::create_directories(other.share().dir());
  // The same layers under the name of another environment: the tag in the archive has to be of that name.
  other.host.tag_image(published.archive.config_digest, other.tag);
  const auto path = other.share().path_of(Share::file_name(other.name, 7));
  {
    std::ofstream out(path, std::ios::binary);
    other.host.save_image(other.tag, [&](std::string_view bytes) { out << bytes; }, CancelToken{});
  }
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (World* world : {&one, &other}) {
    threads.emplace_back([&, world] {
      const SyncResult result = world->sync();
      if (is_image_of(world->runner.inspect_image(result.image_id), published.archive.identity)) ++right;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right.load() == 2);
  for (World* world : {&one, &other}) CHECK(is_image_of(world->runner.inspect_image(world->tag), published.archive.identity));
}

// fault: load-once
TEST_CASE("fifty callers on a cold node are one load") {
  TwoVersions two;
  if (two.one_engine()) return;
  two.remove_from_runner();
  const auto since = std::chrono::system_clock::now();
  Syncer syncer(two.world.runner, two.world.naming, two.world.share());
  const std::string wanted = two.second_id();
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      if (syncer.ensure(two.world.name, "", {}, no_progress).image_id == wanted) ++right;
    });
  }
  for (auto& thread : threads) thread.join();
  syncer.tidy_up();
  CHECK(right.load() == 50);
  const auto seconds = [](auto time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); };
  const std::string command = fmt::format("docker -H {} events --since {:.3f} --until {:.3f} --filter event=load | wc -l", runner_host(), seconds(since),
                                          seconds(std::chrono::system_clock::now()));
  FILE* events = ::popen(command.c_str(), "r");
  int loads = -1;
  CHECK(std::fscanf(events, "%d", &loads) == 1);
  ::pclose(events);
  CHECK(loads == 1);
}

TEST_CASE("what a loader that was killed has left is removed by a later one") {
  TwoVersions two;
  if (two.one_engine()) return;
  const std::string start = two.world.tag.substr(0, two.world.tag.rfind(':') + 1);
  const std::string recent = fmt::format("{}loading-{}-0000abcd", start, unix_seconds(wall_now()));
  two.world.runner.tag_image(two.before.image_id, start + "loading-1700000000-0000abcd");
  two.world.runner.tag_image(two.before.image_id, recent);
  two.world.sync();
  CHECK(two.tags() == std::vector<std::string>{two.world.tag, recent});
  two.world.runner.untag_image(recent);
}

TEST_CASE("the image that a newer version replaced goes unless that is not wanted or it is used") {
  for (const bool wanted : {true, false}) {
    TwoVersions two;
    if (two.one_engine()) return;
    Syncer syncer(two.world.runner, two.world.naming, two.world.share(), {.remove_superseded = wanted});
    syncer.ensure(two.world.name, "", {}, no_progress);
    CHECK(two.world.runner.find_image(two.before.image_id));  // somebody may be about to use it
    const std::string second = two.world.runner.inspect_image(two.world.tag).id;
    two.world.change("third");
    two.world.publish();
    const SyncResult third = syncer.ensure(two.world.name, "", {}, no_progress);
    syncer.tidy_up();
    CHECK(third.way == "thin");
    CHECK(two.world.runner.find_image(two.before.image_id).has_value() == !wanted);
    CHECK(two.world.runner.find_image(second));
  }
}

TEST_CASE("a daemon behind TCP is loaded thin as well") {
  TwoVersions two;
  if (two.one_engine()) return;
  const Relay relay(runner_host().substr(7));
  docker::Engine remote(docker::Endpoint::parse(fmt::format("tcp://127.0.0.1:{}", relay.port())));
  const SyncResult thin = two.world.sync(Syncer(remote, two.world.naming, two.world.share()));
  two.check_is_there(thin);
  CHECK(thin.way == "thin");
}
