#include <doctest/doctest.h>

#include "api/container_walk.hpp"
#include "base/error.hpp"

using namespace riverbox;
using namespace riverbox::api;

namespace {

struct Walks {
  std::vector<std::function<void()>> posted;
  int walked = 0;
  bool busy = false, broken = false;
  std::vector<std::string> told;
  ContainerWalk walk{[this](std::function<void()> work) {
                       if (!busy) posted.push_back(std::move(work));
                       return !busy;
                     },
                     [this] {
                       ++walked;
                       if (broken) throw NotFound("no daemon");
                       return ContainerWalk::Containers{{.name = "torch", .changed_bytes = walked}};
                     }};
  void ask() {
    walk.ask([this](const ContainerWalk::Containers& found, std::exception_ptr error) {
      try {
        if (error) std::rethrow_exception(error);
        told.push_back(found.at(0).name + std::to_string(*found.at(0).changed_bytes));
      } catch (const Error& why) {
        told.push_back(why.fact());
      }
    });
  }
  void work() {
    const auto all = std::exchange(posted, {});
    for (const auto& work : all) work();
  }
};

using Told = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(Walks, "who asks while the containers are walked through shares what is found") {
  for (int i = 0; i < 3; ++i) ask();
  CHECK(posted.size() == 1);
  CHECK(told.empty());
  work();
  CHECK(told == Told{"torch1", "torch1", "torch1"});
  ask();
  work();
  CHECK(told.back() == "torch2");
}

TEST_CASE_FIXTURE(Walks, "a walk that fails fails for all who wait, and the next one is another") {
  broken = true;
  ask();
  ask();
  work();
  CHECK(told == Told{"no daemon", "no daemon"});
  broken = false;
  ask();
  work();
  CHECK(told.back() == "torch2");
}

TEST_CASE_FIXTURE(Walks, "where nobody is free to walk, that is said at once") {
  busy = true;
  ask();
  CHECK(told.size() == 1);
  CHECK(walked == 0);
  busy = false;
  ask();
  work();
  CHECK(told.back() == "torch1");
}
