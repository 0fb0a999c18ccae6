// Publishing and syncing against a real Docker Engine ($DOCKER_HOST or the local socket) with busybox:latest in it. A second engine
// ($RIVERBOX_TEST_RUNNER_DOCKER_HOST or $RIVERBOX_TEST_SECOND_DOCKER_HOST) plays the runner; without one the first plays both.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.hpp"
#include "docker/engine.hpp"
#include "environment/load.hpp"
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
    for (const std::string& left : {container(), naming.next_container(name.str()), naming.previous_container(name.str())}) {
      try {
        host.remove_container(left, true);
      } catch (const docker::DockerError&) {
      }
    }
    for (docker::Engine* engine : {&host, &runner}) {
      try {
        if (engine->find_image(tag)) engine->untag_image(tag);
      } catch (const docker::DockerError&) {
      }
    }
  }
};

// A TCP port in front of a unix socket: the same daemon, seen as one on another machine.
class Relay {
public:
  explicit Relay(std::string path) : path_(std::move(path)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    threads_.emplace_back([this] { accept_all(); });
  }
  ~Relay() {
    ::shutdown(listener_, SHUT_RDWR);
    threads_.front().join();
    for (const int fd : sockets_) ::shutdown(fd, SHUT_RDWR);
    for (size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
    for (const int fd : sockets_) ::close(fd);
    ::close(listener_);
  }
  int port() const { return port_; }

private:
  void accept_all() {
    for (int client; (client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path_.copy(address.sun_path, sizeof address.sun_path - 1);
      if (::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
      for (const auto& [from, to] : {std::pair{client, server}, std::pair{server, client}}) {
        sockets_.push_back(from);
        threads_.emplace_back([from = from, to = to] {
          char buffer[64 << 10];
          for (ssize_t n; (n = ::read(from, buffer, sizeof buffer)) > 0;) {
            for (ssize_t done = 0, m; done < n && (m = ::send(to, buffer + done, static_cast<size_t>(n - done), MSG_NOSIGNAL)) > 0;) done += m;
          }
          ::shutdown(to, SHUT_WR);
        });
      }
    }
  }
  std::string path_;
  int listener_, port_ = 0;
  std::vector<int> sockets_;
  std::deque<std::thread> threads_;
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

TEST_CASE("a crash at every moment of the renewal: one container under the proper name, with everything in it") {
  for (int moment = 0; moment < 4; ++moment) {
    CAPTURE(moment);
    World world;
    world.make_container();
    world.change("precious");
    const PublishIntent intent{world.container(), world.name.str(), true};
    const std::string next = world.naming.next_container(world.name.str()), previous = world.naming.previous_container(world.name.str());
    world.host.stop_container(world.container(), std::chrono::seconds(5));
    const std::string image = world.host.commit(world.container(), {}, "", CancelToken{});
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
  const std::string image = world.host.commit(world.container(), {"VOLUME /data"}, "", CancelToken{});
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

// ---- thin loads

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

TEST_CASE("with one version kept on the share, a containerd store is loaded thin by a memory, and rightly with a wrong one") {
  TwoVersions two;
  if (two.one_engine()) return;
  const fs::path memory = two.world.share_dir / "images.json";
  const SyncOptions options{.memory = memory};
  for (const auto& version : two.world.share().versions(two.world.name)) {
    if (version.tarball != two.second.version.tarball) two.world.share().remove(version);
  }
  Syncer(two.world.runner, two.world.naming, two.world.share(), options).ensure(two.world.name, "", {}, no_progress);
  two.world.change("third");
  two.world.publish({.keep_versions = 1});
  const auto third = Syncer(two.world.runner, two.world.naming, two.world.share(), options).ensure(two.world.name, "", {}, no_progress);
  CHECK(third.way == "thin");
  CHECK(fs::exists(memory) == two.world.runner.containerd_store());
  std::ofstream(memory) << "[[[";
  two.world.change("fourth");
  const auto published = two.world.publish({.keep_versions = 1});
  Syncer(two.world.runner, two.world.naming, two.world.share(), options).ensure(two.world.name, "", {}, no_progress);
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

TEST_CASE("layers that vanish after they were counted on: the whole archive is loaded") {
  TwoVersions two;
  if (two.one_engine()) return;
  Syncer syncer(two.world.runner, two.world.naming, two.world.share());
  const SyncResult result = syncer.ensure(two.world.name, "", {}, when_loading([&] { two.world.runner.untag_image(two.world.tag); }));
  two.check_is_there(result);
  CHECK(result.way == "full");
  CHECK(result.bytes_read > two.first.archive.layers.back().size_bytes);
  CHECK(has(two.shown(result.image_id), "new\n"));
}

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
    two.world.change("third");
    two.world.publish();
    const SyncResult third = syncer.ensure(two.world.name, "", {}, no_progress);
    CHECK(third.way == "thin");
    CHECK(two.world.runner.find_image(two.before.image_id).has_value() == !wanted);
  }
}

TEST_CASE("a daemon behind TCP is loaded thin as well") {
  TwoVersions two;
  if (two.one_engine()) return;
  const Relay relay(runner_host().substr(7));
  docker::Engine remote(docker::Endpoint::parse(fmt::format("tcp://127.0.0.1:{}", relay.port())));
  const SyncResult thin = Syncer(remote, two.world.naming, two.world.share()).ensure(two.world.name, "", {}, no_progress);
  two.check_is_there(thin);
  CHECK(thin.way == "thin");
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
