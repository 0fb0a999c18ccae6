#include <doctest/doctest.h>

#include "base/error.hpp"
#include "fixture.hpp"
#include "net/http_client.hpp"
#include "net/url.hpp"

using namespace test;

namespace {

// /status/N answers with N; /hang never answers; the rest tells what it was asked.
void serve(net::Request request, std::shared_ptr<net::Responder> responder) {
  static std::vector<std::shared_ptr<net::Responder>> kept;
  if (request.path == "/hang") return kept.push_back(responder);
  net::Response response;
  if (request.path.starts_with("/status/")) {
    response = net::error_response(std::stoi(request.path.substr(8)), "as asked");
    response.headers = {{"Location", "/elsewhere"}};
    return responder->send(response);
  }
  auto header = [&](const char* name) { return request.header(name) ? *request.header(name) : std::string("-"); };
  response.content_type = "text/plain";
  response.body = request.method + "|" + request.path + "|" + request.body + "|" + header("authorization") + "|" +
                  header("content-type") + "|" + header("user-agent") + "|" + request.remote_address;
  response.headers = {{"X-Answer", "yes"}};
  responder->send(response);
}

template <class Kind>
std::pair<std::string, std::string> failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Kind& error) {
    return {error.fact(), error.next()};
  }
  FAIL("it worked");
  return {};
}

}  // namespace

TEST_CASE("the client sends what it should and keeps its connection") {
  TestServer server({serve, {}});
  net::HttpClient client(server.url("/"), "secret");
  auto first = client.request("GET", "/a?x=1");
  CHECK(first.status == 200);
  CHECK(first.content_type == "text/plain");
  CHECK(first.body.starts_with("GET|/a||Bearer secret|-|riverbox/"));
  bool found = false;
  for (const auto& [name, value] : first.headers) found |= name == "x-answer" && value == "yes";
  CHECK(found);
  auto peer = [](const net::Response& r) { return r.body.substr(r.body.rfind('|')); };
  auto second = client.request("POST", "/b", "{}");
  CHECK(second.body.starts_with("POST|/b|{}|Bearer secret|application/json|"));
  CHECK(peer(first) == peer(second));
  CHECK(client.request("DELETE", "/c").body.starts_with("DELETE|/c||"));
  CHECK(client.request("PUT", "/d", "x").body.starts_with("PUT|/d|x|"));
  auto head = client.request("HEAD", "/e");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  net::HttpClient::Options options;
  options.headers = {{"Content-Type", "text/x"}};
  CHECK(client.request("POST", "/f", "y", options).body.starts_with("POST|/f|y|Bearer secret|text/x|"));
  const std::string big(3 << 20, 'z');
  CHECK(client.request("POST", "/g", big).body.size() > big.size());
}

TEST_CASE("every status is an answer; redirects are not followed") {
  TestServer server({serve, {}});
  net::HttpClient client(server.url(), "");
  for (int status : {404, 500, 503, 302}) {
    auto response = client.request("GET", "/status/" + std::to_string(status));
    CHECK(response.status == status);
    CHECK(net::error_detail(response.body) == "as asked");
  }
}

TEST_CASE("a body is streamed when the answer is good and kept when it is not") {
  TestServer server({serve, {}});
  net::HttpClient client(server.url(), "");
  std::string streamed;
  net::HttpClient::Options options;
  options.on_body = [&](std::string_view bytes) { streamed += bytes; };
  CHECK(client.request("GET", "/s", "", options).body.empty());
  CHECK(streamed.starts_with("GET|/s|"));
  streamed.clear();
  CHECK(!client.request("GET", "/status/404", "", options).body.empty());
  CHECK(streamed.empty());
  options.on_body = [](std::string_view) { throw BadData("enough"); };
  CHECK_THROWS_AS(client.request("GET", "/s", "", options), BadData);
  CHECK(client.request("GET", "/again").status == 200);
}

TEST_CASE("no host, no answer and a change of mind are told apart") {
  TestServer server({serve, {}});
  {
    std::uint16_t port;
    {
      TestServer gone({serve, {}});
      port = gone.port();
    }
    net::HttpClient client("http://127.0.0.1:" + std::to_string(port), "");
    auto [fact, next] = failure<Unavailable>([&] { client.request("GET", "/"); });
    CHECK(fact == "cannot reach the host at http://127.0.0.1:" + std::to_string(port) + ": Connection refused");
    CHECK(next == "Start it with `riverbox host` (or `riverbox up`), or name another with --host URL.");
  }
  net::HttpClient client(server.url(), "");
  net::HttpClient::Options options;
  options.total_timeout = 150ms;
  CHECK(failure<Timeout>([&] { client.request("GET", "/hang?token=secret", "", options); }).first.find("secret") == std::string::npos);
  CHECK(client.request("GET", "/").status == 200);

  CancelToken cancel;
  std::thread canceller([&] {
    std::this_thread::sleep_for(50ms);
    cancel.cancel();
  });
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(client.request("GET", "/hang", "", {}, cancel), Cancelled);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
  canceller.join();
  CHECK(client.request("GET", "/").status == 200);
}

TEST_CASE("a host that breaks off in the middle is an error, not a short answer") {
  TestServer server({[](net::Request, std::shared_ptr<net::Responder> responder) {
                       std::thread([responder] {
                         responder->stream({}, [](net::BodyWriter& body) {
                           body.write("part");
                           throw std::runtime_error("broken");
                         });
                       }).join();
                     },
                     {}});
  net::HttpClient client(server.url(), "");
  CHECK_THROWS_AS(client.request("GET", "/"), Unavailable);
}

TEST_CASE("addresses of hosts") {
  auto shown = [](const char* text) { return net::HttpUrl::parse(text).str(); };
  CHECK(shown("http://h:8000") == "http://h:8000/");
  CHECK(shown("HTTPS://Host/a?b=c") == "https://host:443/a");
  CHECK(shown("ws://[::1]:9/x") == "http://[::1]:9/x");
  CHECK(shown("node1:8000") == "http://node1:8000/");
  CHECK(net::HttpUrl::parse("http://h?x=1").target == "/?x=1");
  for (const char* bad : {"", "http://", "http://:80", "http://h:x", "http://h:0", "http://h:65536", "http://u@h", "ftp://h", "unix://x", "http://[::1", "http://[::1]x", "http://h\r\nX: y"})
    CHECK_THROWS_AS(net::HttpUrl::parse(bad), InvalidInput);
  CHECK_THROWS_AS(net::HttpClient("nonsense url", ""), InvalidInput);
}
