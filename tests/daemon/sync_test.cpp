// Bringing an Engine up to date with the share: which version, which image, what is refused.
#include "environment_world.hpp"

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

// fault: archive-damaged
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

// fault: store-lies
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
  const std::string id = world.host.commit(world.container(), {}, {}, CancelToken{});
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

// fault: docker-silent
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

// ---- thin loads
