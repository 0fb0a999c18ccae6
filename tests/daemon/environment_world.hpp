// What the tests of publishing and syncing share: a share, an environment container, and Engines that play host and runner.
#pragma once
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

inline std::string runner_host() {
  for (const char* variable : {"RIVERBOX_TEST_RUNNER_DOCKER_HOST", "RIVERBOX_TEST_SECOND_DOCKER_HOST"}) {
    if (const char* value = std::getenv(variable); value && *value) return value;
  }
  return {};
}

inline const auto no_progress = [](const SyncProgress&) {};

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
    auto published = Publisher(host, naming, share()).publish(name, options, cancel, [&](const PublishIntent& given) { ++recorded; intent = given; }, [&] { ++forgotten; });
    published.tidying.wait();
    return published;
  }
  SyncResult sync(const std::string& hint = "", const CancelToken& cancel = {}) {
    return sync(Syncer(runner, naming, share()), hint, cancel);
  }
  SyncResult sync(Syncer&& syncer, const std::string& hint = "", const CancelToken& cancel = {}) {
    auto result = syncer.ensure(name, hint, cancel, no_progress);
    syncer.tidy_up();
    return result;
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
        for (const auto& image : engine->list_images_tagged(naming.environment_image(name.str(), "*"))) {
          for (const std::string& left : image.tags) engine->untag_image(left);
        }
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

inline bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(text);
  return false;
}

// The bytes of `path` with `change` done to them, as a newer version.
inline void write_newer(const World& world, const std::string& from, std::int64_t timestamp, const std::function<void(std::string&)>& change) {
  std::ifstream in(world.share().path_of(from), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  change(bytes);
  std::ofstream(world.share().path_of(Share::file_name(world.name, timestamp)), std::ios::binary) << bytes;
}
