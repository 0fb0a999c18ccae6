#include "environment/hash_pipe.hpp"

#include <utility>

namespace riverbox::environment {

HashPipe::~HashPipe() {
  items_.close();
  thread_.join();
}

Digest HashPipe::finish() {
  std::promise<Digest> answer;
  auto digest = answer.get_future();
  items_.push({nullptr, std::move(answer)});
  return digest.get();
}

void HashPipe::run() {
  Sha256 sha;
  while (auto item = items_.pop()) {
    if (item->chunk) sha.update(item->chunk->view());
    else item->answer->set_value(std::exchange(sha, Sha256()).finish());
  }
}

}  // namespace riverbox::environment
