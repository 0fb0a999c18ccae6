#include <doctest/doctest.h>

#include <algorithm>

#include "api/trace.hpp"

using namespace riverbox;
using namespace riverbox::api;

namespace {

struct Recorder final : net::Responder {
  std::vector<net::Response> sent;
  void send(net::Response response) override { sent.push_back(std::move(response)); }
  void stream(net::Response, const std::function<void(net::BodyWriter&)>&) override { throw std::runtime_error("the client has gone"); }
  std::unique_ptr<net::OpenBody> open(net::Response head, net::OpenBody::Events) override {
    sent.push_back(std::move(head));
    return nullptr;
  }
};

net::Request request(const std::string& given) {
  net::Request out;
  out.method = "GET";
  if (!given.empty()) out.headers["x-request-id"] = given;
  return out;
}

}  // namespace

TEST_CASE("an answer is counted once, whichever way it is given, and tells the id of its request") {
  Metrics metrics;
  auto inner = std::make_shared<Recorder>();
  const auto on = [&](const char* route) { return traced(inner, metrics, request(""), "id-1", route); };
  on("/a")->send({.status = 200});
  CHECK_THROWS(on("/b")->stream({.status = 200}, [](net::BodyWriter&) {}));
  CHECK(on("/c")->open({.status = 200}, {}) == nullptr);
  on("/never-answered");
  const auto text = metrics.text({});
  for (const char* route : {"/a", "/b", "/c"}) CHECK(text.find(std::string("riverbox_http_requests_total{method=\"GET\",route=\"") + route + "\",code=\"200\"} 1\n") != std::string::npos);
  CHECK(text.find("never-answered") == std::string::npos);
  REQUIRE(inner->sent.size() == 2);
  for (const auto& answer : inner->sent) CHECK(answer.headers == std::vector<std::pair<std::string, std::string>>{{"X-Request-Id", "id-1"}});
}

TEST_CASE("an id that can be one is taken, else one is made") {
  for (const std::string good : {"a", "2f1c6e0a-0d3b-4c1e-9d0e-7a3a5b8c9d10", "trace:1.2_3"}) CHECK(request_id(request(good)) == good);
  for (const std::string bad : {std::string(), std::string(65, 'a'), std::string("two words"), std::string("x\"y"), std::string("a\x1b[31m"), std::string("\xc3\xa9")}) {
    const auto made = request_id(request(bad));
    CHECK(made != bad);
    CHECK(made.size() == 16);
    CHECK(made != request_id(request(bad)));
  }
}
