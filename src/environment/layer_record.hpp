// The record of a layer (tar_split.hpp), taken apart on a thread of its own, ahead of whoever reads the files that it names.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "os/handoff.hpp"

namespace riverbox::environment {

class LayerRecord {
public:
  struct Entry {
    std::string text;              // bytes of the tar, or the path of a file
    std::uint64_t file_bytes = 0;  // the size of the file; 0: it is none
  };
  using Entries = std::vector<Entry>;

  explicit LayerRecord(std::filesystem::path path) : path_(std::move(path)), thread_([this] { run(); }) {}
  ~LayerRecord();
  LayerRecord(const LayerRecord&) = delete;
  // The next of them; none: that was all. Blocks. Throws IoError, BadData with the reason.
  Entries next();

private:
  void run();
  void read();
  void hand_over();

  const std::filesystem::path path_;
  Entries entries_;  // the thread's
  size_t bytes_ = 0;
  os::Handoff<Entries> batches_{4};
  std::thread thread_;
};

}  // namespace riverbox::environment
