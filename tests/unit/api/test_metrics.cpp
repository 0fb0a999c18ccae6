#include <doctest/doctest.h>

#include <regex>
#include <set>
#include <sstream>

#include "api/metrics.hpp"

using namespace riverbox;
using namespace riverbox::api;
using namespace std::chrono_literals;

namespace {

bool has_line(const std::string& text, const std::string& line) { return ("\n" + text).find("\n" + line + "\n") != std::string::npos; }

}  // namespace

TEST_CASE("every line is of the exposition format, every family is told once, before its samples") {
  Metrics metrics;
  metrics.request("GET", "/nodes/{name}", 200, 3ms);
  metrics.request("GET", "/nodes/{name}", 404, 70s);
  metrics.load({"thin", 1000, 500'000'000, 0.06});
  host::NodeView node;
  node.description.hostname = "a\"b\\c\nd";
  node.description.cores = 8;
  node.online = true;
  const auto text = metrics.text({{{TaskState::running, 3}, {TaskState::pending, 0}}, {{node, {}}}});
  const std::regex sample(R"(([a-z_]+)(\{[a-z]+="(\\.|[^"\\\n])*"(,[a-z]+="(\\.|[^"\\\n])*")*\})? [0-9.e+-]+)"), family("# (HELP|TYPE) ([a-z_]+) .+");
  std::istringstream lines(text);
  std::string line, current;
  std::set<std::string> families;
  while (std::getline(lines, line)) {
    CAPTURE(line);
    std::smatch found;
    if (std::regex_match(line, found, family)) {
      if (found[1] == "HELP") CHECK(families.insert(current = found[2]).second);
      CHECK(found[2] == current);
    } else {
      REQUIRE(std::regex_match(line, found, sample));
      CHECK(found[1].str().starts_with(current));
    }
  }
  CHECK(has_line(text, "riverbox_tasks{state=\"running\"} 3"));
  CHECK(has_line(text, "riverbox_node_cores{node=\"a\\\"b\\\\c\\nd\"} 8"));
  CHECK(has_line(text, "riverbox_nodes{status=\"online\"} 1"));
  CHECK(has_line(text, "riverbox_environment_load_saved_bytes_total{way=\"thin\"} 500000000"));
  CHECK(has_line(text, "riverbox_environment_loads_total{way=\"full\"} 0"));
  CHECK(has_line(text, "riverbox_http_requests_total{method=\"GET\",route=\"/nodes/{name}\",code=\"404\"} 1"));
  CHECK(has_line(text, "riverbox_http_request_duration_seconds_bucket{method=\"GET\",route=\"/nodes/{name}\",le=\"0.001\"} 0"));
  CHECK(has_line(text, "riverbox_http_request_duration_seconds_bucket{method=\"GET\",route=\"/nodes/{name}\",le=\"0.005\"} 1"));
  CHECK(has_line(text, "riverbox_http_request_duration_seconds_bucket{method=\"GET\",route=\"/nodes/{name}\",le=\"60\"} 1"));
  CHECK(has_line(text, "riverbox_http_request_duration_seconds_bucket{method=\"GET\",route=\"/nodes/{name}\",le=\"+Inf\"} 2"));
  CHECK(has_line(text, "riverbox_http_request_duration_seconds_count{method=\"GET\",route=\"/nodes/{name}\"} 2"));
}
