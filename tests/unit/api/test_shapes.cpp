#include <doctest/doctest.h>

#include "api/shapes.hpp"

using namespace riverbox;
using namespace riverbox::api;

TEST_CASE("the list of archives is the text that a JSON library writes of it") {
  environment::Listing listing;
  CHECK(archives_text(listing) == "{}");
  const std::string id = "sha256:" + std::string(64, 'a');
  listing[environment::EnvironmentName::parse("a-env")] = {{1700000002, "a-env-1700000002.tar", 512, id}, {1700000001, "a-env-1700000001.tar", 7, ""}};
  listing[environment::EnvironmentName::parse("gone")] = {};
  listing[environment::EnvironmentName::parse("other")] = {{5, "other-5.tar", 1, ""}};
  const Json version = {{"timestamp", 1700000002}, {"tarball", "a-env-1700000002.tar"}, {"size_bytes", 512}, {"image_id", id}};
  const Json older = {{"timestamp", 1700000001}, {"tarball", "a-env-1700000001.tar"}, {"size_bytes", 7}, {"image_id", nullptr}};
  const Json single = {{"timestamp", 5}, {"tarball", "other-5.tar"}, {"size_bytes", 1}, {"image_id", nullptr}};
  const Json expected = {
      {"a-env", {{"latest_timestamp", 1700000002}, {"latest_tarball", "a-env-1700000002.tar"}, {"all_versions", Json::array({version, older})}}},
      {"other", {{"latest_timestamp", 5}, {"latest_tarball", "other-5.tar"}, {"all_versions", Json::array({single})}}}};
  CHECK(archives_text(listing) == expected.dump(2));
}

TEST_CASE("the loads of nodes are the text that a JSON library writes of them") {
  constexpr auto kNo = host::LoadHistory::kNothing;
  CHECK(loads_text({}) == R"({"step_seconds":60,"nodes":{}})");
  const host::LoadsOfNodes loads{.first_minute = 29'750'000, .nodes = {{"a", {{125, 1000, kNo, 0}, {kNo, kNo, kNo, kNo}}}, {"b", {{kNo, kNo, kNo, kNo}, {1, 9, 500, 1287}}}}};
  const Json a = {{"start", 1785000000}, {"cpu_percent", {12.5, nullptr}}, {"memory_percent", {100, nullptr}}, {"gpu_percent", {nullptr, nullptr}}, {"cores_in_use", {0, nullptr}}};
  const Json b = {{"start", 1785000000}, {"cpu_percent", {nullptr, 0.1}}, {"memory_percent", {nullptr, 0.9}}, {"gpu_percent", {nullptr, 50}}, {"cores_in_use", {nullptr, 128.7}}};
  const Json expected = {{"step_seconds", 60}, {"nodes", {{"a", a}, {"b", b}}}};
  CHECK(loads_text(loads) == expected.dump());
}
