// Answers that many ask for again and again, kept as the text they were sent as: a dashboard asks each second, and most seconds nothing has changed. Thread-safe.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace riverbox::api {

class Answers {
public:
  // A number that is another one after each change of what answers are made of. What changes by itself, such as a load, may be told as it was `max_age` ago.
  Answers(std::function<std::uint64_t()> revision, std::chrono::milliseconds max_age, Clock clock = {})
      : revision_(std::move(revision)), max_age_(max_age), clock_(std::move(clock)) {}

  // What is to become an answer: taken before anything is read that goes into it, so that a change meanwhile makes it an old one.
  struct Draft {
    std::string question;
    std::uint64_t revision = 0;
  };
  Draft draft(std::string question) const { return {std::move(question), revision_()}; }
  void keep(const Draft& draft, const std::string& text);
  std::optional<std::string> find(const std::string& question);  // nullopt: it has to be made

private:
  struct Kept {
    std::uint64_t revision = 0;
    std::chrono::steady_clock::time_point made;
    std::string text;
  };
  std::function<std::uint64_t()> revision_;
  std::chrono::milliseconds max_age_;
  Clock clock_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;
  size_t bytes_ = 0;
};

}  // namespace riverbox::api
