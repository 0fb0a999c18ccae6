// The record that the overlay2 graph driver keeps of a layer (tar-split.json.gz): the bytes of its tar between the files, and of every file
// its path and size. With the files themselves it gives the tar that the layer's diff ID is the digest of, byte for byte.
// Format: github.com/vbatts/tar-split, tar/storage.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace riverbox::environment {

class TarSplitParser {
public:
  struct Visitor {
    std::function<void(std::string_view bytes)> bytes;
    std::function<void(const std::string& path, std::uint64_t size_bytes)> file;  // only files with something in them
  };
  explicit TarSplitParser(Visitor visitor);
  ~TarSplitParser();
  // The compressed record, in pieces. Throws BadData with the reason, and what the visitor throws.
  void feed(std::string_view gzip);
  // Throws BadData when the record has not ended.
  void finish();

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::environment
