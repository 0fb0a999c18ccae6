#include <doctest/doctest.h>

#include "api/answers.hpp"

using namespace riverbox;
using namespace riverbox::api;
using namespace std::chrono_literals;

namespace {

struct KeptAnswers {
  std::uint64_t revision = 1;
  std::chrono::steady_clock::time_point now{};
  Answers answers{[this] { return revision; }, 500ms, {.steady = [this] { return now; }}};
};

}  // namespace

TEST_CASE_FIXTURE(KeptAnswers, "an answer is given again until something changes, or it is old") {
  CHECK_FALSE(answers.find("/nodes"));
  answers.keep(answers.draft("/nodes"), "[1]");
  CHECK(answers.find("/nodes") == "[1]");
  CHECK_FALSE(answers.find("/nodes?a=b"));
  now += 500ms;
  CHECK(answers.find("/nodes") == "[1]");
  now += 1ms;
  CHECK_FALSE(answers.find("/nodes"));
  answers.keep(answers.draft("/nodes"), "[2]");
  CHECK(answers.find("/nodes") == "[2]");
  ++revision;
  CHECK_FALSE(answers.find("/nodes"));
}

TEST_CASE_FIXTURE(KeptAnswers, "what changes while an answer is made is not in an answer that is kept") {
  const auto draft = answers.draft("/tasks");
  ++revision;
  answers.keep(draft, "made of what was before");
  CHECK_FALSE(answers.find("/tasks"));
}

TEST_CASE_FIXTURE(KeptAnswers, "they take a bounded amount of memory") {
  const std::string big(3u << 20, 'x');
  answers.keep(answers.draft("a"), big);
  CHECK(answers.find("a"));
  answers.keep(answers.draft("a"), big);  // in the place of the other one
  CHECK(answers.find("a"));
  answers.keep(answers.draft("b"), big);
  CHECK(answers.find("b"));
  CHECK_FALSE(answers.find("a"));
  answers.keep(answers.draft("c"), big + big);
  CHECK_FALSE(answers.find("c"));
}
