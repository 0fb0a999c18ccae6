#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/security.hpp"

using namespace riverbox;
namespace fs = std::filesystem;

namespace {

struct TempDir {
  fs::path path = fs::temp_directory_path() / ("rb-net-test-" + random_hex(6));
  TempDir() { fs::create_directory(path); }
  ~TempDir() { fs::remove_all(path); }
};

void write_file(const fs::path& path, const std::string& bytes, mode_t mode) {
  std::ofstream(path) << bytes;
  chmod(path.c_str(), mode);
}

mode_t mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

net::Request request_with(std::map<std::string, std::string> headers, std::map<std::string, std::string> query = {}) {
  net::Request request;
  request.headers = std::move(headers);
  request.query = std::move(query);
  return request;
}

Config config() {
  Config c;
  c.network.host_reachable_address = "head.cluster.example";
  c.security.allowed_hosts = {"Alias.example", "proxy.example:8443"};
  c.security.allowed_origins = {"https://dash.example", "http://other.example:3000/"};
  return c;
}

std::optional<Identity> knows_secret(const std::string& token) { return token == "secret" ? std::optional(Identity{"alice", Role::user}) : std::nullopt; }

}  // namespace

TEST_CASE("the token is made once, for the owner only, and read again") {
  TempDir dir;
  const fs::path path = dir.path / "a" / "b" / "token";
  CHECK(net::read_token_file(path) == std::nullopt);
  const std::string token = net::read_or_create_token(path);
  CHECK(token.size() == 64);
  CHECK(token.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(mode_of(path) == 0600);
  CHECK(mode_of(path.parent_path()) == 0700);
  CHECK(mode_of(path.parent_path().parent_path()) == 0700);
  CHECK(net::read_or_create_token(path) == token);
  CHECK(*net::read_token_file(path) == token);
  CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);
}

TEST_CASE("many starts at once agree on one token") {
  TempDir dir;
  for (int round = 0; round < 20; ++round) {
    const fs::path path = dir.path / std::to_string(round) / "token";
    std::vector<std::string> seen(8);
    std::vector<std::thread> starts;
    for (auto& token : seen) starts.emplace_back([&token, &path] { token = net::read_or_create_token(path); });
    for (auto& start : starts) start.join();
    CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 1);
    CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);
  }
}

// fault: config-odd
TEST_CASE("a token file that others can read or that holds no token is an error that helps") {
  TempDir dir;
  const fs::path path = dir.path / "token";
  for (mode_t mode : {0644, 0640, 0604, 0660}) {
    write_file(path, "secret\n", mode);
    try {
      net::read_token_file(path);
      FAIL("accepted");
    } catch (const ConfigError& error) {
      CHECK(error.next() == "Run: chmod 600 " + path.string());
    }
  }
  write_file(path, " secret \r\n", 0600);
  CHECK(*net::read_token_file(path) == "secret");
  for (std::string bad : {std::string(), std::string("\n"), std::string("two words"), std::string("line\nline"), std::string("a\0b", 3), std::string(5000, 'x')}) {
    write_file(path, bad, 0600);
    CHECK_THROWS_AS(net::read_token_file(path), ConfigError);
    CHECK_THROWS_AS(net::read_or_create_token(path), ConfigError);
  }
  CHECK_THROWS_AS(net::read_token_file(dir.path), ConfigError);
  fs::remove(path);
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK_THROWS_AS(net::read_token_file(path), ConfigError);
  fs::remove(path);
  write_file(path, "x", 0600);
  CHECK(net::read_token_file(path / "below-a-file") == std::nullopt);
}

TEST_CASE("a client takes the token of the configuration first, then the file, then none") {
  TempDir dir;
  Config c;
  CHECK(net::client_token(c) == "");
  c.security.token_file = dir.path / "token";
  CHECK(net::client_token(c) == "");
  write_file(c.security.token_file, "from-file", 0600);
  CHECK(net::client_token(c) == "from-file");
  c.security.token = "from-config";
  CHECK(net::client_token(c) == "from-config");
}

TEST_CASE("who has the token may come in") {
  const net::AccessPolicy policy(config(), {.token = knows_secret});
  CHECK(policy.requires_token());
  auto status = [&](const net::Request& request) {
    const auto identity = policy.identify(request);
    if (identity) CHECK((identity->name == "alice" && identity->role == Role::user && identity->known));
    return identity ? 200 : 401;
  };
  CHECK(status(request_with({{"authorization", "Bearer secret"}})) == 200);
  CHECK(status(request_with({{"authorization", "bearer  secret "}})) == 200);
  for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer Secret", "Bearer secre", "Bearer secrets", "Basic secret"})
    CHECK(status(request_with({{"authorization", wrong}})) == 401);
  CHECK(status(request_with({})) == 401);
  const std::map<std::string, std::string> upgrade{{"upgrade", "websocket"}};
  CHECK(status(request_with(upgrade, {{"token", "secret"}})) == 200);
  CHECK(status(request_with(upgrade, {{"token", "wrong"}})) == 401);
  CHECK(status(request_with({{"accept", "text/event-stream"}}, {{"token", "secret"}})) == 200);
  CHECK(status(request_with({{"accept", "text/event-stream"}}, {{"token", "wrong"}})) == 401);
  CHECK(status(request_with({{"accept", "text/html"}}, {{"token", "secret"}})) == 401);
  CHECK(status(request_with({}, {{"token", "secret"}})) == 401);  // a query is logged by proxies; only where there is no other way

  const net::AccessPolicy open(config(), {});
  CHECK(!open.requires_token());
  const auto anybody = open.identify(request_with({}));
  REQUIRE(anybody);
  CHECK((anybody->role == Role::admin && !anybody->known && anybody->name.empty()));
}

// fault: origin-wrong
TEST_CASE("only our own names and pages may be used") {
  const net::AccessPolicy policy(config(), {.token = knows_secret});
  auto allowed = [&](const char* host, const char* origin = nullptr) {
    std::map<std::string, std::string> headers;
    if (host) headers["host"] = host;
    if (origin) headers["origin"] = origin;
    auto refusal = policy.check_origin(request_with(headers));
    if (refusal) CHECK(refusal->status == 403);
    return !refusal;
  };
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  for (const char* host : {"localhost", "LOCALHOST:8000", "127.0.0.1", "10.1.2.3:8000", "[::1]", "[fe80::1]:8000", "head.cluster.example:1",
                           "alias.example", "proxy.example", static_cast<const char*>(name)})
    CHECK_MESSAGE(allowed(host), host);
  for (const char* host : {"", "evil.example", "localhost.evil.example", "evil-localhost", "localhost@evil.example", "evil.example:80@localhost",
                           "127.0.0.1.evil.example", "127.0.0.1.nip.io", "0x7f.1", "[::1", "[::1].evil", "::1", "localhost:", "localhost:x",
                           "localhost:99999", "a b", "localhost/", "[127.0.0.1]"})
    CHECK_MESSAGE(!allowed(host), host);
  CHECK(!allowed(nullptr));

  CHECK(allowed("10.1.2.3:8000", "http://10.1.2.3:8000"));
  CHECK(allowed("localhost:8000", "HTTP://LOCALHOST:8000"));
  CHECK(allowed("localhost", "http://localhost"));
  CHECK(allowed("localhost", "http://localhost:80"));
  CHECK(allowed("alias.example", "https://alias.example"));
  CHECK(allowed("[::1]:8000", "http://[::1]:8000"));
  CHECK(allowed("alias.example:8443", "https://alias.example:8443"));  // a proxy that ends TLS
  CHECK(allowed("10.1.2.3:8000", "https://dash.example"));
  CHECK(allowed("10.1.2.3:8000", "https://dash.example:443"));
  CHECK(allowed("10.1.2.3:8000", "http://other.example:3000"));
  for (const char* origin : {"null", "", "*", "http://localhost:8001", "http://localhost", "http://localhost.evil.example:8000",
                             "http://evil.example", "http://127.0.0.1:8000", "http://localhost:8000.evil.example", "http://localhost:8000@evil.example",
                             "file://", "chrome-extension://localhost:8000", "http://dash.example", "https://dash.example.evil.example",
                             "https://xdash.example", "http://other.example", "http://localhost:8000/", "localhost:8000"})
    CHECK_MESSAGE(!allowed("localhost:8000", origin), origin);
}

TEST_CASE("lists that cannot mean what was meant are refused at start") {
  Config c;
  for (const char* origin : {"*", "dash.example", "https://", "https://*.example", "https://dash.example/path"}) {
    c.security.allowed_origins = {origin};
    CHECK_THROWS_AS(net::AccessPolicy(c, {}), ConfigError);
  }
  c.security.allowed_origins.clear();
  c.security.allowed_hosts = {"*"};
  CHECK_THROWS_AS(net::AccessPolicy(c, {}), ConfigError);
  c.security.allowed_hosts.clear();
  c.network.host_reachable_address = "fd00::17";
  CHECK_NOTHROW(net::AccessPolicy(c, {}));
}
