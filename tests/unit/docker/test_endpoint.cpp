#include <doctest/doctest.h>

#include <cstdlib>

#include "base/json.hpp"
#include "docker/api.hpp"
#include "docker/curl_handle.hpp"
#include "docker/reference.hpp"

using namespace riverbox;
using namespace riverbox::docker;

namespace {

struct Variable {
  std::string name;
  std::optional<std::string> old;
  Variable(const char* n, const char* value) : name(n) {
    if (const char* was = std::getenv(n)) old = was;
    value ? ::setenv(n, value, 1) : ::unsetenv(n);
  }
  ~Variable() { old ? ::setenv(name.c_str(), old->c_str(), 1) : ::unsetenv(name.c_str()); }
};

std::string url(const char* host, bool tls = false) {
  auto endpoint = Endpoint::parse(host);
  endpoint.tls = tls;
  return url_of(endpoint, "/x");
}

}  // namespace

TEST_CASE("Docker hosts are read as the docker CLI reads them") {
  CHECK(Endpoint::parse("unix:///run/user/1000/docker.sock").host == "unix:///run/user/1000/docker.sock");
  CHECK(Endpoint::parse("unix://").host == "unix:///var/run/docker.sock");
  CHECK(Endpoint::parse(" tcp://10.0.0.1:2375/ ").host == "tcp://10.0.0.1:2375");
  CHECK(url("tcp://10.0.0.1:1234") == "http://10.0.0.1:1234/x");
  CHECK(url("tcp://box") == "http://box:2375/x");
  CHECK(url("tcp://box", true) == "https://box:2376/x");
  CHECK(url("tcp://[::1]") == "http://[::1]:2375/x");
  CHECK(url("tcp://[::1]:7") == "http://[::1]:7/x");
  CHECK(url("tcp://:7") == "http://127.0.0.1:7/x");
  CHECK(url("unix:///s") == "http://docker/x");
}

TEST_CASE("a wrong Docker host is refused with the way out") {
  for (const char* bad : {"", "docker.sock", "/var/run/docker.sock", "unix://relative", "http://x", "npipe://x", "tcp://", "tcp://h:0",
                          "tcp://h:99999", "tcp://h:x", "tcp://h/path", "tcp://user@h:1", "tcp://::1", "tcp://[::1", "tcp://h:1\r\nX: y"})
    CHECK_THROWS_AS(Endpoint::parse(bad), InvalidInput);
  CHECK_THROWS_WITH_AS(Endpoint::parse("ssh://me@box"), doctest::Contains("DOCKER_HOST=unix:///tmp/docker.sock"), InvalidInput);
  CHECK_THROWS_AS(Endpoint::parse("unix:///" + std::string(200, 'a')), InvalidInput);
}

TEST_CASE("the environment decides where the daemon is") {
  Variable verify("DOCKER_TLS_VERIFY", nullptr), certs("DOCKER_CERT_PATH", nullptr), config("DOCKER_CONFIG", nullptr);
  {
    Variable host("DOCKER_HOST", nullptr);
    CHECK(Endpoint::from_environment().host == "unix:///var/run/docker.sock");
  }
  Variable host("DOCKER_HOST", "tcp://1.2.3.4:2376"), home("HOME", "/home/me");
  CHECK_FALSE(Endpoint::from_environment().tls);
  Variable on("DOCKER_TLS_VERIFY", "1");
  CHECK(Endpoint::from_environment().tls);
  CHECK(Endpoint::from_environment().cert_path == "/home/me/.docker");
  Variable path("DOCKER_CERT_PATH", "/certs");
  CHECK(Endpoint::from_environment().cert_path == "/certs");
}

TEST_CASE("API versions compare by number") {
  CHECK(api_less("1.9", "1.41"));
  CHECK_FALSE(api_less("1.41", "1.9"));
  CHECK_FALSE(api_less("1.41", "1.41"));
  CHECK(api_less("1.51", "2.0"));
  CHECK(api_less("", "1.0"));
  Version version{"20.10", "1.41", "1.12"};
  CHECK(version.api_at_least(1, 41));
  CHECK(version.api_at_least(1, 9));
  CHECK_FALSE(version.api_at_least(1, 42));
}

TEST_CASE("an image reference without a tag means latest, never all tags") {
  auto check = [](const char* text, const char* name, const char* tag, const char* registry) {
    auto parsed = Reference::parse(text);
    CHECK(parsed.name == name);
    CHECK(parsed.tag == tag);
    CHECK(parsed.registry == registry);
  };
  check("ubuntu", "ubuntu", "latest", "docker.io");
  check("ubuntu:22.04", "ubuntu", "22.04", "docker.io");
  check("me/img:1", "me/img", "1", "docker.io");
  check("127.0.0.1:5000/debian", "127.0.0.1:5000/debian", "latest", "127.0.0.1:5000");
  check("127.0.0.1:5000/debian:12", "127.0.0.1:5000/debian", "12", "127.0.0.1:5000");
  check("localhost/x", "localhost/x", "latest", "localhost");
  check("ghcr.io/a/b@sha256:abcd", "ghcr.io/a/b", "sha256:abcd", "ghcr.io");
  check("ghcr.io/a/b:tag@sha256:abcd", "ghcr.io/a/b", "sha256:abcd", "ghcr.io");
  for (const char* bad : {"", " ", "a b", "x:", "x@", ":tag", "host/", "sha256:0123456789ab", "a\nb", "a:b:c", "h:5/a:b:c", "a:b:c@sha256:abcd"})
    CHECK_THROWS_AS(Reference::parse(bad), InvalidInput);
  CHECK(Reference::parse("127.0.0.1:5000/debian").str() == "127.0.0.1:5000/debian:latest");
  CHECK(Reference::parse("a/b:tag@sha256:abcd").str() == "a/b@sha256:abcd");
  CHECK(Reference::parse("a/b@sha256:abcd").is_digest());
  CHECK_FALSE(Reference::parse("a:5/b").is_digest());
}

TEST_CASE("credentials come from the docker CLI's file, for their registry only") {
  const std::string config = R"({"auths":{"https://index.docker.io/v1/":{"auth":"bWU6czpjcg=="},"reg.example:5000":{"identitytoken":"tok"},
    "empty.example":{}, "bad.example":{"auth":"%%"}},"credsStore":"x"})";
  // base64url of {"password":"s:cr","serveraddress":"https://index.docker.io/v1/","username":"me"}
  CHECK(registry_auth_from(config, "docker.io") ==
        "eyJwYXNzd29yZCI6InM6Y3IiLCJzZXJ2ZXJhZGRyZXNzIjoiaHR0cHM6Ly9pbmRleC5kb2NrZXIuaW8vdjEvIiwidXNlcm5hbWUiOiJtZSJ9");
  CHECK_FALSE(registry_auth_from(config, "reg.example:5000").empty());
  for (const char* none : {"empty.example", "bad.example", "reg.example", "other.example"}) CHECK(registry_auth_from(config, none).empty());
  CHECK(registry_auth_from("not json", "docker.io").empty());
  CHECK(registry_auth_from("{}", "docker.io").empty());
}

TEST_CASE("names become one encoded segment of a path") {
  CHECK(path_segment("a/b:1", "image reference") == "a%2Fb%3A1");
  CHECK(path_segment("../../x?force=1#", "container name") == "..%2F..%2Fx%3Fforce%3D1%23");
  for (const char* bad : {"", ".", "..", "a\nb"}) CHECK_THROWS_AS(path_segment(bad, "container name"), InvalidInput);
}
