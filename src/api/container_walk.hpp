// How large containers have become. Docker reads every file that was changed for it, and goes on when whoever asked has gone: so there is one such walk at a time, for all who ask
// meanwhile. Nobody blocks. Thread-safe.
#pragma once
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "host/environments.hpp"

namespace riverbox::api {

class ContainerWalk {
public:
  using Containers = std::vector<host::ListedContainer>;
  // Is told what was found, or why nothing was; must not throw.
  using Done = std::function<void(const Containers& found, std::exception_ptr error)>;
  // `walk` takes minutes. `post` has it run by somebody else; false: nobody is free.
  ContainerWalk(std::function<bool(std::function<void()>)> post, std::function<Containers()> walk) : post_(std::move(post)), walk_(std::move(walk)) {}

  // Of the walk that is under way, else of one that begins now.
  void ask(Done done);

private:
  void walk();
  void tell(const Containers& found, std::exception_ptr error);

  std::function<bool(std::function<void()>)> post_;
  std::function<Containers()> walk_;
  std::mutex mutex_;
  std::vector<Done> waiting_;  // empty: there is no walk
};

}  // namespace riverbox::api
