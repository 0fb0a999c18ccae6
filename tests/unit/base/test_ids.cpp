#include <doctest/doctest.h>

#include <set>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/sha256.hpp"

using namespace riverbox;

TEST_CASE("task ids are unique and increasing, in all threads") {
  constexpr int kThreads = 4, kEach = 5000;
  std::vector<std::vector<TaskId>> made(kThreads);
  std::vector<std::thread> threads;
  for (auto& list : made)
    threads.emplace_back([&list] {
      for (int i = 0; i < kEach; ++i) list.push_back(TaskId::next());
    });
  for (auto& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  for (const auto& list : made)
    for (size_t i = 0; i < list.size(); ++i) {
      all.insert(list[i].value());
      if (i) CHECK(list[i - 1] < list[i]);
    }
  CHECK(all.size() == kThreads * kEach);
}

TEST_CASE("a task id is a positive decimal number and nothing else") {
  const TaskId id = TaskId::next();
  CHECK(TaskId::parse(id.str()) == id);
  for (const char* text : {"", "0", "-1", "1x", " 1", "0x1", "18446744073709551616", "1e3"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(TaskId::parse(text), InvalidInput);
  }
}

TEST_CASE("digests have one spelling") {
  const std::string hex(64, 'a');
  CHECK(Digest::parse(hex).str() == "sha256:" + hex);
  CHECK(Digest::parse("sha256:" + hex) == Digest::parse(hex));
  CHECK(Digest::parse(hex).short_hex() == "aaaaaaaaaaaa");
  for (const std::string& text : {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), "sha512:" + hex,
                                  "sha256:" + hex + "/..", std::string(62, 'a') + "/.", "sha256:sha256:" + hex}) {
    CAPTURE(text);
    CHECK_FALSE(Digest::is_valid(text));
    CHECK_THROWS_AS(Digest::parse(text), InvalidInput);
  }
}

TEST_CASE("node names") {
  for (const char* text : {"a", "gpu1", "node-1.lab.example", "A_b", "10.0.0.1"}) CHECK(NodeName::parse(text).str() == text);
  for (const std::string& text : {std::string(), std::string("-a"), std::string(".a"), std::string("a b"), std::string("a/b"), std::string("a:b"),
                                  std::string("a\n"), std::string("é"), std::string(254, 'a'), std::string("a\0b", 3)}) {
    CAPTURE(text);
    CHECK_THROWS_AS(NodeName::parse(text), InvalidInput);
  }
}

TEST_CASE("SHA-256 of the standard's examples, in one piece and in many") {
  CHECK(Sha256::of("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(Sha256::of("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  for (int i = 0; i < 1000; ++i) hash.update(std::string(1000, 'a'));
  Sha256 moved = std::move(hash);
  CHECK(moved.finish().hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
