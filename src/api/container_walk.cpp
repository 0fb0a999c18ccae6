#include "api/container_walk.hpp"

#include <utility>

#include "base/error.hpp"

namespace riverbox::api {

void ContainerWalk::ask(Done done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
    if (waiting_.size() > 1) return;
  }
  if (!post_([this] { walk(); })) tell({}, std::make_exception_ptr(Unavailable("the host is busy: nobody is free to look at the containers", "Try again.")));
}

void ContainerWalk::walk() {
  Containers found;
  std::exception_ptr error;
  try {
    found = walk_();
  } catch (...) {
    error = std::current_exception();
  }
  tell(found, error);
}

void ContainerWalk::tell(const Containers& found, std::exception_ptr error) {
  std::vector<Done> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& done : waiting) done(found, error);
}

}  // namespace riverbox::api
