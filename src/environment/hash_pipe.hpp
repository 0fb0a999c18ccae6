// SHA-256 on a thread of its own, of what the caller writes meanwhile: on two cores an archive is checked in the time of writing it.
#pragma once
#include <future>
#include <optional>
#include <thread>

#include "base/sha256.hpp"
#include "environment/chunk.hpp"
#include "os/handoff.hpp"

namespace riverbox::environment {

class HashPipe {
public:
  HashPipe() : thread_([this] { run(); }) {}
  ~HashPipe();
  HashPipe(const HashPipe&) = delete;
  HashPipe& operator=(const HashPipe&) = delete;
  // Blocks while four chunks wait.
  void push(ChunkPtr chunk) { items_.push({std::move(chunk), std::nullopt}); }
  // Of everything since the beginning or the last finish().
  Digest finish();

private:
  struct Item {
    ChunkPtr chunk;                              // null: tell what it comes to
    std::optional<std::promise<Digest>> answer;  // of whoever answers: who asks may be gone as soon as it knows
  };
  void run();
  os::Handoff<Item> items_{4};
  std::thread thread_;
};

}  // namespace riverbox::environment
