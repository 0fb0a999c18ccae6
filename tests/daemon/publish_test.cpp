// Publishing against a real Docker Engine (environment_test.cpp says which).
#include "environment_world.hpp"

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
  CHECK(first.bytes_read > 0);
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
  CHECK(second.bytes_read < 16'000);  // the index
}

// fault: publish-at-once
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

// fault: clock-wrong
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

// fault: share-full
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

// fault: share-write-fails
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

TEST_CASE("the tag in the daemon is moved by a success that is asked to, kept by a failure, else left alone") {
  World world;
  world.make_container();
  const std::string before = world.host.inspect_image("busybox:latest").id;
  world.host.tag_image(before, world.tag);
  const CancelToken cancel;
  PublishOptions failing;
  failing.keep_image = true;
  failing.progress = [&](const PublishProgress& progress) {
    if (progress.step == "writing") cancel.cancel();
  };
  CHECK_THROWS_AS(world.publish(failing, cancel), Cancelled);
  CHECK(world.host.inspect_image(world.tag).id == before);
  CHECK(world.running());
  world.publish();
  CHECK(world.host.inspect_image(world.tag).id == before);
  PublishOptions keeping;
  keeping.keep_image = true;
  const auto published = world.publish(keeping);
  CHECK_FALSE(Syncer::needs_sync(world.host.find_image(world.tag), published.archive.identity));
  CHECK(world.host.find_image(before));
}

// fault: publish-killed
TEST_CASE("recover undoes what a crash left, also twice") {
  World world;
  world.make_container();
  world.publish();
  const auto versions = world.files();
  const PublishIntent intent = world.intent;
  world.host.stop_container(world.container(), std::chrono::seconds(5));
  const auto part = world.share().dir() / fmt::format(".riverbox-{}.4711.abcdef012345.part", Share::file_name(world.name, 99));
  const auto other = world.share().dir() / ".riverbox-other-99.tar.4711.abcdef012345.part";
  std::ofstream(part) << "half";
  std::ofstream(other) << "half";
  Publisher publisher(world.host, world.naming, world.share());
  for (int i = 0; i < 2; ++i) {
    publisher.recover(intent);
    CHECK(world.running());
    CHECK_FALSE(fs::exists(part));
  }
  CHECK(fs::exists(other));
  fs::remove(other);
  CHECK(world.files() == versions);
  world.host.remove_container(world.container(), true);
  CHECK_NOTHROW(publisher.recover(intent));
}

// fault: publish-killed
TEST_CASE("a crash at every moment of the renewal: one container under the proper name, with everything in it") {
  for (int moment = 0; moment < 4; ++moment) {
    CAPTURE(moment);
    World world;
    world.make_container();
    world.change("precious");
    const PublishIntent intent{world.container(), world.name.str(), true};
    const std::string next = world.naming.next_container(world.name.str()), previous = world.naming.previous_container(world.name.str());
    world.host.stop_container(world.container(), std::chrono::seconds(5));
    const std::string image = world.host.commit(world.container(), {}, {}, CancelToken{});
    const auto current = world.host.inspect_container(world.container());
    if (moment >= 1) world.host.clone_container(current, next, image, {});
    if (moment >= 2) world.host.rename_container(world.container(), previous);
    if (moment >= 3) world.host.rename_container(next, world.container());
    Publisher publisher(world.host, world.naming, world.share());
    for (int i = 0; i < 2; ++i) {
      publisher.recover(intent);
      CHECK(world.running());
      CHECK(world.host.run_exec(world.container(), {"cat", "/state"}, std::chrono::seconds(20)).stdout_text == "precious\n");
      CHECK((world.host.inspect_container(world.container()).id == current.id) == (moment < 3));
      CHECK_THROWS_AS(world.host.inspect_container(next), docker::ContainerNotFoundError);
      CHECK_THROWS_AS(world.host.inspect_container(previous), docker::ContainerNotFoundError);
    }
    world.host.remove_container(world.container(), true);
    world.host.untag_image(image);
  }
}

TEST_CASE("a container that cannot be made again stays, runs, and its version is published") {
  World world;
  world.make_container();
  world.change("one");
  docker::ContainerSpec foreign;
  foreign.image = world.host.inspect_image("busybox:latest").id;
  world.host.create_container(world.naming.next_container(world.name.str()), foreign);
  const std::string before = world.host.inspect_container(world.container()).id;
  const auto published = world.publish();
  CHECK(verify_archive(world.share().path_of(published.version.tarball), CancelToken{}).identity == published.archive.identity);
  CHECK(world.host.inspect_container(world.container()).id == before);
  CHECK(world.running());
}

TEST_CASE("every version adds one small layer, and begins with the bytes of the one before") {
  World world;
  docker::ContainerSpec spec;
  spec.image = world.host.inspect_image("busybox:latest").id;
  spec.command = {"sleep", "1000000"};
  spec.env = {"COLOUR=blue"};
  spec.hostname = "workbench";
  spec.memory_bytes = 64u << 20;
  spec.mounts = {{"/tmp", "/host-tmp", true}};
  spec.init = true;
  spec.labels = world.naming.environment_labels(world.name.str());
  spec.labels["note"] = "kept";
  world.host.create_container(world.container(), spec);
  world.host.start_container(world.container());
  PublishOptions keep_all;
  keep_all.keep_versions = 10;
  const auto shell = [&](const char* script) { return world.host.run_exec(world.container(), {"sh", "-c", script}, std::chrono::seconds(60)); };

  shell("head -c 3000000 /dev/urandom > /big; mkdir /d; echo a > /d/a; ln /d/a /d/b; mkfifo /d/pipe; ln -s a /d/link; chmod 4755 /d/a; chown 7:8 /d/a");
  const auto first = world.publish(keep_all);
  shell("rm -r /d; mkdir /d; echo new > /d/new; rm /bin/vi; echo \"$(printf 'x\\303\\251')\" > \"/d/$(printf 'x\\377y')\"");
  const auto second = world.publish(keep_all);
  const auto third = world.publish(keep_all);

  CHECK(second.archive.layers.size() == first.archive.layers.size() + 1);
  CHECK(second.archive.layers.back().size_bytes < 100'000);
  CHECK(second.packaging.layers_taken_over == first.archive.layers.size());
  CHECK(third.packaging.layers_taken_over == second.archive.layers.size());
  for (const auto* published : {&first, &second, &third}) {
    CHECK(published->packaging.way == (geteuid() == 0 ? "layers" : "save"));
    CHECK(verify_archive(world.share().path_of(published->version.tarball), CancelToken{}).identity == published->archive.identity);
  }
  const auto bytes_of = [&](const Published& published) {
    std::ifstream in(world.share().path_of(published.version.tarball), std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  };
  CHECK(bytes_of(second).starts_with(std::string_view(bytes_of(first)).substr(0, second.packaging.bytes_taken_over)));

  const auto container = world.host.inspect_container(world.container());
  CHECK(container.labels.at("note") == "kept");
  CHECK(shell("echo $COLOUR $(hostname) $(cat /d/new) $(ls /d | wc -l) $(test -e /host-tmp && echo mounted)").stdout_text == "blue workbench new 2 mounted\n");
  CHECK(shell("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null").stdout_text == "67108864\n");
  CHECK_THROWS_AS(world.host.inspect_container(world.naming.previous_container(world.name.str())), docker::ContainerNotFoundError);

  const auto synced = world.sync();
  docker::ContainerSpec check;
  check.image = synced.image_id;
  check.command = {"sh", "-c", "cat /d/new; ls /bin/vi; wc -c < /big"};
  const std::string id = world.runner.create_container("", check);
  world.runner.start_container(id);
  std::string out;
  world.runner.follow_logs(id, CancelToken{}, [&](bool is_stderr, std::string_view bytes) { if (!is_stderr) out += bytes; });
  world.runner.remove_container(id, true);
  CHECK(out == "new\n3000000\n");
}

TEST_CASE("many layers become one, by themselves and when asked to; what is in them stays") {
  World world;
  world.make_container({{world.naming.label("entrypoint"), R"(["/bin/echo"])"}, {world.naming.label("command"), R"(["c"])"}});
  const auto shell = [&](const char* script) { return world.host.run_exec(world.container(), {"sh", "-c", script}, std::chrono::seconds(60)).stdout_text; };
  PublishOptions few;
  few.max_layers = 3;
  shell("echo 1 > /one; chown 5:6 /one; chmod 4711 /one; mkdir -p /d/e; ln /one /twin; ln -s one /link");
  CHECK(world.publish(few).packaging.way != "squash");
  shell("echo 2 > /two; rm /bin/vi");
  CHECK(world.publish(few).packaging.way != "squash");
  shell("echo 3 > /three");
  const auto squashed = world.publish(few);
  CHECK(squashed.packaging.way == "squash");
  CHECK(squashed.archive.layers.size() == 1);
  CHECK(verify_archive(world.share().path_of(squashed.version.tarball), CancelToken{}).identity == squashed.archive.identity);
  CHECK(world.running());
  CHECK(shell("cat /one /two /three; stat -c '%a %u %g %h' /one; readlink /link; ls -d /d/e; ls /bin/vi 2>/dev/null") == "1\n2\n3\n4711 5 6 2\none\n/d/e\n");
  shell("echo 4 > /four");
  const auto next = world.publish(few);
  CHECK(next.archive.layers.size() == 2);
  CHECK(next.packaging.layers_taken_over == 1);
  PublishOptions asked;
  asked.squash = true;
  CHECK(world.publish(asked).archive.layers.size() == 1);
  const auto image = world.runner.inspect_image(world.sync().image_id);
  CHECK(image.entrypoint == std::vector<std::string>{"/bin/echo"});
  CHECK(image.command == std::vector<std::string>{"c"});
}

TEST_CASE("a volume without a name keeps what is in it") {
  World world;
  world.make_container();
  world.host.stop_container(world.container(), std::chrono::seconds(5));
  const std::string image = world.host.commit(world.container(), {"VOLUME /data"}, {}, CancelToken{});
  world.host.remove_container(world.container(), true);
  docker::ContainerSpec spec;
  spec.image = image;
  spec.command = {"sleep", "1000000"};
  spec.init = true;
  spec.labels = world.naming.environment_labels(world.name.str());
  world.host.create_container(world.container(), spec);
  world.host.start_container(world.container());
  world.host.run_exec(world.container(), {"sh", "-c", "echo kept > /data/file"}, std::chrono::seconds(20));
  for (int i = 0; i < 2; ++i) {
    world.publish();
    CHECK(world.host.run_exec(world.container(), {"cat", "/data/file"}, std::chrono::seconds(20)).stdout_text == "kept\n");
  }
}

TEST_CASE("through the engine alone, as over the network, the archive is the same") {
  World world;
  world.make_container();
  world.change("first");
  PublishOptions keep_all;
  keep_all.keep_versions = 10;
  const auto direct = world.publish(keep_all);
  Relay relay(docker::Endpoint::from_environment().host.substr(7));
  docker::Engine remote(docker::Endpoint::parse(fmt::format("tcp://127.0.0.1:{}", relay.port())));
  const Share elsewhere(world.share_dir / "elsewhere");
  elsewhere.prepare();
  world.change("second");
  const auto saved = Publisher(remote, world.naming, elsewhere).publish(world.name, keep_all, CancelToken{}, [](const PublishIntent&) {}, [] {});
  CHECK(saved.packaging.way == "save");
  CHECK(has(saved.packaging.why, "over the network"));
  CHECK(verify_archive(elsewhere.path_of(saved.version.tarball), CancelToken{}).identity == saved.archive.identity);
  REQUIRE(saved.archive.layers.size() == direct.archive.layers.size() + 1);
  for (size_t i = 0; i < direct.archive.layers.size(); ++i) {
    CHECK(saved.archive.layers[i].offset == direct.archive.layers[i].offset);
    CHECK(saved.archive.layers[i].diff_id == direct.archive.layers[i].diff_id);
  }
  world.change("third");
  const auto next = Publisher(remote, world.naming, elsewhere).publish(world.name, keep_all, CancelToken{}, [](const PublishIntent&) {}, [] {});
  CHECK(next.packaging.layers_taken_over == saved.archive.layers.size());
  CHECK(world.running());
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
